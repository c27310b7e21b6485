"""Volumes of apps, and host directories."""
