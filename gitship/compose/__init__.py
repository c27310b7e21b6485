"""A Compose file in the repository, read and mapped to what an app of gitship is. Pure."""
