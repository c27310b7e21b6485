"""How the values of settings are read: each function takes a TOML value, and raises ValueError with what it must be."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gitship.model import DOMAIN_NAME


@dataclass(frozen=True, slots=True)
class Address:
    """``host:port``; port 0 takes any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def address(value: Any) -> Address:
    match = re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]*):(\d{1,5})", value) if isinstance(value, str) else None
    if not match or int(match[2]) > 65535:
        raise ValueError('must be "address:port", for instance "0.0.0.0:2222"')
    return Address(match[1].strip("[]") or "0.0.0.0", int(match[2]))  # noqa: S104 (":80" means every interface)


def text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a text that is not empty")
    return value.strip()


def absolute_path(value: Any) -> Path:
    path = Path(text(value)).expanduser()
    if not path.is_absolute():
        raise ValueError("must be an absolute path")
    return path


def domain_name(value: Any) -> str:
    name = text(value).lower().rstrip(".")
    if not DOMAIN_NAME.fullmatch(name):
        raise ValueError('must be a host name, for instance "example.com"')
    return name


def flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def whole(low: int, high: int) -> Callable[[Any], int]:
    def parse(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return value

    return parse


def seconds(low: float, high: float) -> Callable[[Any], float]:
    def parse(value: Any) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"must be a number of seconds from {low:g} to {high:g}")
        return float(value)

    return parse


def bound_address(value: Any) -> Address:
    bound = address(value)
    if bound.port == 0:
        raise ValueError("must have a port from 1 to 65535")
    return bound


def line(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a text")
    return value.strip()


def email(value: Any) -> str:
    if not isinstance(value, str) or (value and not re.fullmatch(r"[^@\s,:]+@[^@\s,:]+\.[^@\s,:]+", value.strip())):
        raise ValueError('must be an e-mail address, for instance "ops@example.com"')
    return value.strip()


def https_url(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"https://[^\s/]+\S*", value.strip()):
        raise ValueError("must be a URL that begins with https://")
    return value.strip()


def optional_path(value: Any) -> str:
    path = line(value)
    if path and not Path(path).is_absolute():
        raise ValueError("must be an absolute path")
    return path


def choice(*choices: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if value not in choices:
            raise ValueError("must be one of " + ", ".join(f'"{c}"' for c in choices))
        return str(value)

    return parse


def size(value: Any) -> int:
    """Bytes from "256m", "1g" or a plain number."""
    match = re.fullmatch(r"(\d+)\s*([kmg]?)b?", str(value).lower()) if isinstance(value, str | int) else None
    if not match or isinstance(value, bool):
        raise ValueError('must be a size, for instance "256m" or "1g"')
    return int(match[1]) * {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}[match[2]]


def processors(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1024:
        raise ValueError("must be a number of processors, for instance 1.5; 0 is no limit")
    return float(value)


def share(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0.01 <= value <= 1:
        raise ValueError("must be a share from 0.01 to 1")
    return float(value)


def percent(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        raise ValueError("must be a number from 0 to 100")
    return float(value)


def cgroup(value: Any) -> str:
    path = text(value)
    if not re.fullmatch(r"(?:/[A-Za-z0-9_:@%-][A-Za-z0-9_.:@%-]*)+", path):
        raise ValueError('must be the path of a cgroup, for instance "/docker"')
    return path


def timezone(value: Any) -> str:
    try:
        return ZoneInfo(text(value)).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError('must be a time zone that this machine knows, for instance "Europe/Berlin"') from None


def globs(value: Any) -> tuple[str, ...]:
    good = isinstance(value, list) and all(isinstance(v, str) and re.fullmatch(r"[!-~]{1,255}", v) for v in value)
    if not good:
        raise ValueError('must be a list of image names, for instance ["python:*", "registry.example.com/team/*"]')
    return tuple(value)


def directories(value: Any) -> tuple[Path, ...]:
    if not isinstance(value, list):
        raise ValueError('must be a list of absolute paths, for instance ["/srv/data"]')
    paths = tuple(map(absolute_path, value))
    for path in paths:
        if ".." in path.parts or len(path.parts) < 2:
            raise ValueError("must be a list of directories, without '..' and without the root")
    return paths


def pool(value: Any) -> IPv4Network:
    try:
        network = ip_network(text(value))
    except ValueError as error:
        raise ValueError(f'must be an IPv4 network, for instance "10.231.0.0/16" ({error})') from None
    if not isinstance(network, IPv4Network) or not network.is_private or network.prefixlen > 24:
        raise ValueError("must be a private IPv4 network of /24 or larger")
    return network
