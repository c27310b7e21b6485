"""Ports of a Compose file: what a service publishes on its host, and what it listens on."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gitship.compose import values
from gitship.schema import Value

MOST_PORTS = 500  # of a service
_RANGE = r"([0-9]{1,5})(?:-([0-9]{1,5}))?"
_SHORT = re.compile(rf"(?:(?:(\[[0-9a-fA-F:.]+\]|[0-9.]+|::1?|localhost|\*):)?(?:{_RANGE})?:)?{_RANGE}(?:/([a-z]+))?")
_LOOPBACK = re.compile(r"127\.|\[?::1\]?$|localhost$")
_KEYS = ("target", "published", "host_ip", "protocol", "app_protocol", "mode", "name")


@dataclass(frozen=True, slots=True)
class PublishedPort:
    """``host`` is the server's port as the file wants it, None for any; ``local``: for that machine's clients."""

    value: Value
    container: int
    host: int | None
    protocol: str = "tcp"
    local: bool = False
    http: bool = False  # the file says so


def read_ports(value: Value) -> tuple[PublishedPort, ...]:
    """Raises ConfigError."""
    found: list[PublishedPort] = []
    for item in value.items():
        found += _long(item) if isinstance(item.raw, dict) else _short(item)
        _ensure_few(value, len(found))
    return tuple(found)


def read_expose(value: Value) -> tuple[int, ...]:
    """The TCP ports among them. Raises ConfigError."""
    found: list[int] = []
    for item in value.items():
        match = re.fullmatch(rf"{_RANGE}(?:/(tcp|udp))?", values.text(item).strip())
        if match is None:
            raise item.error("must be a port", 'for instance "3000"')
        found += _range(item, match[1], match[2]) if match[3] != "udp" else ()
        _ensure_few(value, len(found))
    return tuple(found)


def _short(value: Value) -> list[PublishedPort]:
    match = _SHORT.fullmatch(values.text(value).strip())
    if match is None:
        raise value.error("must be [HOST:]CONTAINER[/PROTOCOL]", 'for instance "8080:80"; quotes keep it a text')
    address, first, last, inner, inner_last, protocol = match.groups()
    containers = _range(value, inner, inner_last)
    _ensure_few(value, len(containers))
    hosts: range | list[None] = _range(value, first, last) if first else [None] * len(containers)
    if len(hosts) != len(containers) and len(containers) > 1:
        raise value.error("must have two ranges of the same length", 'for instance "9090-9091:8080-8081"')
    local = bool(_LOOPBACK.match(address or ""))
    # Of a range for one port Docker takes any that is free.
    return [PublishedPort(value, c, h, protocol or "tcp", local) for c, h in zip(containers, hosts, strict=False)]


def _long(value: Value) -> list[PublishedPort]:
    table = values.known(value, _KEYS)
    if "target" not in table:
        raise value.error("must have a target", "the port in the container")
    host = None
    if "published" in table:
        match = re.fullmatch(_RANGE, values.text(table["published"]).strip())
        if match is None:
            raise table["published"].error("must be a port, or a range of ports", 'for instance "8080"')
        host = _range(table["published"], match[1], match[2])[0]
    words = {name: values.text(table[name]).lower() for name in _KEYS if name in table and name != "target"}
    return [
        PublishedPort(
            value,
            values.whole(table["target"], 1, 65_535),
            host,
            words.get("protocol", "tcp"),
            bool(_LOOPBACK.match(words.get("host_ip", ""))),
            words.get("app_protocol", "").startswith("http") or words.get("name") in ("http", "web"),
        )
    ]


def _range(value: Value, first: str, last: str | None) -> range:
    low, high = int(first), int(last or first)
    if not 1 <= low <= high <= 65_535:
        raise value.error("must be ports from 1 to 65535")
    return range(low, high + 1)


def _ensure_few(value: Value, count: int) -> None:
    if count > MOST_PORTS:
        raise value.error(f"must be {MOST_PORTS} ports at most", "name those that are used")
