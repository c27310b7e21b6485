"""The whole server as one TOML document: read, compared with what is there, and applied."""
