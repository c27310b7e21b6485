"""The logs of apps: where they are, the live stream, and what is kept of containers that are gone."""
