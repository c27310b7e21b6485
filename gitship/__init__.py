"""gitship: a Git-push deployment server."""

__version__ = "0.1.0"  # read by pyproject.toml and install.sh, too: said nowhere else
