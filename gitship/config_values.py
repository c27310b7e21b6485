"""Types of values in the server settings; each parser raises ConfigError with what it expects."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network
from pathlib import Path
from typing import Any

from gitship.model import DOMAIN_NAME
from gitship.schema import Value, written_size


@dataclass(frozen=True, slots=True)
class Address:
    """``host:port``; port 0 takes any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def address(value: Value) -> Address:
    match = re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]*):(\d{1,5})", str(value.raw))
    if not match or int(match[2]) > 65535:
        raise value.error('must be "address:port", for instance "0.0.0.0:2222"')
    return Address(match[1].strip("[]") or "0.0.0.0", int(match[2]))  # noqa: S104 (":80" means every interface)


def bound_address(value: Value) -> Address:
    bound = address(value)
    if bound.port == 0:
        raise value.error("must have a port from 1 to 65535")
    return bound


def line(value: Value) -> str:
    return value.line().strip()


def text(value: Value) -> str:
    if not line(value):
        raise value.error("must be a non-empty string")
    return line(value)


def absolute_path(value: Value) -> Path:
    path = Path(text(value)).expanduser()
    if not path.is_absolute():
        raise value.error("must be an absolute path")
    return path


def optional_path(value: Value) -> str:
    path = line(value)
    if path and not Path(path).is_absolute():
        raise value.error("must be an absolute path")
    return path


def domain_name(value: Value) -> str:
    name = text(value).lower().rstrip(".")
    if not DOMAIN_NAME.fullmatch(name):
        raise value.error('must be a host name, for instance "example.com"')
    return name


def email(value: Value) -> str:
    if (found := line(value)) and not re.fullmatch(r"[^@\s,:]+@[^@\s,:]+\.[^@\s,:]+", found):
        raise value.error('must be an e-mail address, for instance "ops@example.com"')
    return found


def https_url(value: Value) -> str:
    if not re.fullmatch(r"https://[^\s/]+\S*", line(value)):
        raise value.error("must be a URL that begins with https://")
    return line(value)


def written(value: Any, parse: Callable[[Any], Any]) -> str:
    """A value as a user writes it, without quotes: ``500m``, ``true``, ``30``."""
    if parse is Value.size:
        return written_size(value)
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(list(value) if isinstance(value, tuple) else value)


def cgroup(value: Value) -> str:
    if not re.fullmatch(r"(?:/[A-Za-z0-9_:@%-][A-Za-z0-9_.:@%-]*)+", text(value)):
        raise value.error('must be the path of a cgroup, for instance "/docker"')
    return text(value)


def globs(value: Value) -> tuple[str, ...]:
    names = tuple(item.text() for item in value.items())
    if not all(re.fullmatch(r"[!-~]{1,255}", name) for name in names):
        raise value.error('must be a list of image names, for instance ["python:*", "registry.example.com/team/*"]')
    return names


def directories(value: Value) -> tuple[Path, ...]:
    paths = tuple(map(absolute_path, value.items()))
    for path in paths:
        if ".." in path.parts or len(path.parts) < 2:
            raise value.error("must be a list of directories, without '..' and without the root")
    return paths


def pool(value: Value) -> IPv4Network:
    try:
        network = ip_network(text(value))
    except ValueError as error:
        raise value.error(f'must be an IPv4 network, for instance "10.231.0.0/16" ({error})') from None
    if not isinstance(network, IPv4Network) or not network.is_private or network.prefixlen > 24:
        raise value.error("must be a private IPv4 network of /24 or larger")
    return network
