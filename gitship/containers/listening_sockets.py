"""Reads the listening sockets of a container from its network namespace, to explain failed checks."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

LISTEN = "0A"  # TCP_LISTEN in Linux's include/net/tcp_states.h
SLOW = "check_timeout in [deploy] of a gitship.toml in the repository"
DOCKER_DNS = "127.0.0.11"  # the engine's own resolver listens here in every container


def listening(pid: int) -> set[tuple[str, int]]:
    """(address, port) of every listening TCP socket in the namespace of ``pid``; empty when it can't be read."""
    found: set[tuple[str, int]] = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/{pid}/net/{table}").read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            local, state = line.split()[1], line.split()[3]
            address, port = local.split(":")
            if state == LISTEN and _address(address) != DOCKER_DNS:
                found.add((_address(address), int(port, 16)))
    return found


class PortDiagnosis(NamedTuple):
    """Why nothing answers, and what to do; ``others`` are the ports that outsiders reach instead.

    ``wrong`` is False when the app may still come: nothing listens, or only what nobody outside reaches.
    """

    cause: str
    hint: str
    wrong: bool = True
    others: tuple[int, ...] = ()


def explain(pid: int, port: int, app: str = "APP") -> PortDiagnosis | None:
    """Why a connection to ``port`` from outside is refused, or None when the sockets do not tell."""
    return diagnose(listening(pid) if pid else set(), port, app)


def diagnose(sockets: Collection[tuple[str, int]], port: int, app: str) -> PortDiagnosis | None:
    """The same of sockets that were read already."""
    loopback = sorted(a for a, p in sockets if p == port and ipaddress.ip_address(a).is_loopback)
    if loopback and not any(p == port and a not in loopback for a, p in sockets):
        return PortDiagnosis(
            f"listens only on {loopback[0]}:{port}, which is not reachable from outside the container",
            f"make the app listen on 0.0.0.0:{port}",
        )
    others = sorted({p for a, p in sockets if not ipaddress.ip_address(a).is_loopback})
    if others and port not in others:
        listed = ", ".join(map(str, others))
        return PortDiagnosis(
            f"listens on {listed}, expected {port}",
            f"make the app listen on $PORT ({port}), or set the port: ports:set {app} {others[0]}, `port = "
            f"{others[0]}` in a gitship.toml in the repository, or `EXPOSE {others[0]}` in the Dockerfile",
            others=tuple(others),
        )
    if not sockets:
        return PortDiagnosis(
            f"nothing listens on port {port}",
            f"make the app listen on 0.0.0.0:$PORT ({port}); if a variable is missing: config:set {app} NAME=VALUE;"
            f" if it is slow to start: {SLOW};"
            " if it serves no visitors: a Procfile in the repository with `worker: COMMAND`",
            wrong=False,
        )
    if not others:  # a helper, or an app whose own default this is
        inside = sorted({p for _, p in sockets})
        listed = ", ".join(f"127.0.0.1:{p}" for p in inside)
        return PortDiagnosis(
            f"listens only on {listed}, expected 0.0.0.0:{port}",
            f"make the app listen on 0.0.0.0:$PORT ({port}), or on 0.0.0.0:{inside[0]} (`ports:set {app} {inside[0]}`)"
            "; 127.0.0.1 is not reachable from outside the container",
            wrong=False,
        )
    return None


def _address(text: str) -> str:
    """The address from the kernel's form: groups of four bytes, each in host (little-endian) order."""
    data = bytes.fromhex(text)
    swapped = b"".join(data[i : i + 4][::-1] for i in range(0, len(data), 4))
    address = ipaddress.ip_address(swapped)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
