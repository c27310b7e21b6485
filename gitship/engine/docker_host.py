"""Parses the address of the Docker engine, without importing its client."""


def is_here(host: str) -> bool:
    """Docker runs on this machine: ``host`` is the unix:// socket of [docker]."""
    return host.startswith("unix://")
