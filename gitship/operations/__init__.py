"""Operations on apps and the server, called by commands and the status page."""
