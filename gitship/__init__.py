"""gitship: a Git-push deployment server."""

__version__ = "0.1.0"
