"""Ports, networks and names for what the tests start: each process of a run gets its own, in order, never by chance.

A port that was bound and closed again may be anybody's by the time a server takes it. These lie below the ports that
the kernel gives to connections, and no two processes of tests share one: a process takes a place, its worker's number
where that is free, else (another run goes on beside this one) the next. The kernel gives the place up with the process.
"""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

PLACES = 32
FIRST_PORT, PORTS = 12_800, 600  # of one place; up to 32,000, and connections go out from 32,768 on
FIRST_SECOND, SECONDS = 32, 6  # second bytes of a place's networks in 10/8: up to 223
SPARE_SECOND = 224  # and one for small networks: up to 255
_numbers = itertools.count(1)
_ports = itertools.count()
_pools = itertools.count()
_small = itertools.count()
_held: list[socket.socket] = []  # until this process ends


@cache
def place() -> int:
    """This process's own number, below PLACES, in its network namespace."""
    wanted = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    for n in range(PLACES):
        number = (wanted + n) % PLACES
        taken = socket.socket(socket.AF_UNIX)
        try:
            taken.bind(f"\0gitship-tests-{number}")
        except OSError:  # a process of another run has it
            taken.close()
            continue
        _held.append(taken)
        return number
    raise AssertionError(f"{PLACES} processes of tests run already")


def own_name(word: str) -> str:
    """No other process of tests, and nothing else of this one, has it now. A killed run may have left it behind."""
    return f"{word}{place()}x{next(_numbers)}"


def free_port() -> int:
    """A port of this process's own that nothing listens on, at whatever address."""
    for _ in range(PORTS):
        port = FIRST_PORT + place() * PORTS + next(_ports) % PORTS
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that have ended do not matter
            try:
                probe.bind(("0.0.0.0", port))
            except OSError:  # no test's: something else of this machine listens there
                continue
            return port
    raise AssertionError("all ports of this process are taken")


@contextmanager
def refusing_port() -> Iterator[int]:
    """A port of 127.0.0.1 at which a connection is refused: it is taken, and nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def _unrouted(networks: Iterator[str], prefixes: int) -> str:
    """The next "10.A.B" that, with those after it up to ``prefixes`` in all, no route of this machine begins with."""
    routes = subprocess.run(["ip", "-4", "route"], capture_output=True, text=True, timeout=10, check=False).stdout
    for network in itertools.islice(networks, SECONDS * 256):
        first, second, third = map(int, network.split("."))
        if not any(f"{first}.{second}.{third + n}." in routes for n in range(prefixes)):
            return network
    raise AssertionError("all networks of this process are taken")


def free_pool() -> str:
    """A /21 of 10/8, for 32 apps."""

    def networks() -> Iterator[str]:
        for n in _pools:
            second, third = divmod(n % (SECONDS * 32), 32)
            yield f"10.{FIRST_SECOND + place() * SECONDS + second}.{third * 8}"

    return f"{_unrouted(networks(), 8)}.0/21"


def free_network() -> str:
    """The first three bytes of a /24 of 10/8, outside of all pools."""
    return _unrouted((f"10.{SPARE_SECOND + place()}.{n % 256}" for n in _small), 1)
