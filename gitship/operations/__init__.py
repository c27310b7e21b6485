"""Everything that can be done to apps and to the server: what commands and the status page call."""
