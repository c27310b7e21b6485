"""Starts, checks and attaches to the containers of a release."""
