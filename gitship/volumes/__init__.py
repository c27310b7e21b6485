"""Volumes of apps, and directories of the host."""
