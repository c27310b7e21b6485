"""Free disk space, for gitship's data and for Docker."""
