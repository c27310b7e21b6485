"""The server as one TOML document: read, compared and applied."""
