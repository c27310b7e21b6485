"""Logs of apps: directories, live stream, archive and retention."""
