"""HTTPS of apps: who wants it, which certificates there are, and how they are got and renewed."""
