"""Limits of SSH connections per address and in total. No sockets."""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Generic, TypeVar

FULL = "too many connections"
Visitor = TypeVar("Visitor", bound=Hashable)


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """All numbers of the SSH server; sizes in bytes, times in seconds."""

    connections: int = 200
    unauthenticated: int = 100
    unauthenticated_per_address: int = 32
    # A newcomer may take the place of a silent connection only after this time, so that a flood of them costs
    # one thread per slot and second, not one per packet.
    eviction_age_s: float = 1.0
    # Connections that wait for a place until they say something, and for how long; one file descriptor each.
    lobby: int = 512
    lobby_s: float = 3.0
    login_grace_s: float = 20.0
    # For a client whose key is known and whose user may be typing its passphrase.
    passphrase_grace_s: float = 120.0
    failed_logins_per_address: int = 30
    failed_logins_window_s: float = 60.0
    addresses_remembered: int = 4096
    sessions_per_connection: int = 10
    # Forwarded connections: of one client, whose pool may open some, and of all; two threads and a socket each.
    forwards_per_connection: int = 32
    forwards: int = 128
    # A connection that runs no command; and one that has forwarded, as `ssh -N` does between two uses.
    idle_s: float = 600.0
    forward_idle_s: float = 3600.0
    # A client that takes nothing of what it is sent.
    stalled_write_s: float = 300.0
    # What a client may send ahead of the reader: 2 MiB is 20 MB/s at a round trip of 100 ms, 4 MiB is 40.
    window_bytes: int = 4 << 20
    # RFC 4253 section 6.1 asks for 35,000; unbounded, one socket cost 374 MiB and 7.7 s of cpu before any login.
    packet_bytes: int = 256 << 10
    unauthenticated_packet_bytes: int = 40_000


@dataclass(frozen=True, slots=True)
class Admission(Generic[Visitor]):
    """``refused`` is empty for a visitor that is in; ``evicted`` had to go for it and must be closed."""

    refused: str = ""
    evicted: Visitor | None = None


@dataclass(slots=True)
class _Stay:
    address: str
    since: float
    deadline: float


class ConnectionLimiter(Generic[Visitor]):
    """Counts visitors by address. When there is no room, the longest silent one of the busiest address makes way.

    So nobody is kept out by connections that are opened and say nothing, whoever opens them: ``silent`` tells which
    these are, and for one that speaks they make way at once.
    """

    def __init__(
        self,
        limits: ConnectionLimits,
        clock: Callable[[], float] = time.monotonic,
        silent: Callable[[Visitor], bool] = lambda visitor: False,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._silent = silent
        self._lock = threading.Lock()
        self._waiting: OrderedDict[Visitor, _Stay] = OrderedDict()  # not yet logged in, oldest first
        self._inside: set[Visitor] = set()
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def admit(self, visitor: Visitor, address: str, *, speaks: bool = False) -> Admission[Visitor]:
        """Lets ``visitor`` in, perhaps in another's place, or says why not; ``speaks`` when it has begun to."""
        place = network(address)
        now = self._clock()
        limits = self._limits
        with self._lock:
            if self._recent_failures(place, now) >= limits.failed_logins_per_address:
                return Admission(refused="too many failed logins")
            evicted: Visitor | None = None
            counts = Counter(stay.address for stay in self._waiting.values())
            if counts[place] >= limits.unauthenticated_per_address:
                evicted = self._oldest(place, now, speaks)
            elif (
                len(self._waiting) >= limits.unauthenticated
                or len(self._waiting) + len(self._inside) >= limits.connections
            ):
                evicted = self._oldest(None, now, True) if speaks else None
                if evicted is None and counts:
                    evicted = self._oldest(counts.most_common(1)[0][0], now, False)
            else:
                self._waiting[visitor] = _Stay(place, now, now + limits.login_grace_s)
                return Admission()
            if evicted is None:
                return Admission(refused=FULL)
            del self._waiting[evicted]
            self._waiting[visitor] = _Stay(place, now, now + limits.login_grace_s)
            return Admission(evicted=evicted)

    def key_known(self, visitor: Visitor) -> None:
        """Gives ``visitor``, who has named a good key and has still to prove it, time to type a passphrase."""
        with self._lock:
            stay = self._waiting.get(visitor)
            if stay is not None:
                stay.deadline = stay.since + self._limits.passphrase_grace_s

    def logged_in(self, visitor: Visitor) -> bool:
        """Moves ``visitor`` inside; False when it has been evicted meanwhile."""
        with self._lock:
            if self._waiting.pop(visitor, None) is None:
                return False
            self._inside.add(visitor)
            return True

    def leave(self, visitor: Visitor) -> None:
        """Frees the place of ``visitor``; harmless when it has none."""
        with self._lock:
            self._waiting.pop(visitor, None)
            self._inside.discard(visitor)

    def login_failed(self, address: str) -> None:
        """Remembers that a connection from ``address`` offered keys and none was good."""
        place = network(address)
        with self._lock:
            failures = self._failures.setdefault(place, deque(maxlen=self._limits.failed_logins_per_address))
            failures.append(self._clock())
            self._failures.move_to_end(place)
            while len(self._failures) > self._limits.addresses_remembered:
                self._failures.popitem(last=False)

    def overdue(self) -> list[Visitor]:
        """Those that have not logged in within the login grace."""
        now = self._clock()
        with self._lock:
            return [visitor for visitor, stay in self._waiting.items() if stay.deadline < now]

    def _oldest(self, place: str | None, now: float, speaks: bool) -> Visitor | None:
        """Who makes way: of ``place``, or with None of all. For one that ``speaks``, the longest silent one first."""
        stays = [(visitor, stay) for visitor, stay in self._waiting.items() if place in (None, stay.address)]
        if speaks and (silent := next((visitor for visitor, _ in stays if self._silent(visitor)), None)) is not None:
            return silent
        if place is None or not stays:
            return None
        visitor, stay = stays[0]
        return visitor if now - stay.since >= self._limits.eviction_age_s else None

    def _recent_failures(self, place: str, now: float) -> int:
        failures = self._failures.get(place)
        if failures is None:
            return 0
        while failures and now - failures[0] > self._limits.failed_logins_window_s:
            failures.popleft()
        if not failures:
            del self._failures[place]
        return len(failures)


def network(address: str) -> str:
    """What counts as one address: IPv4 as it is (mapped into IPv6 too), IPv6 by its /64, which one host can own."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(IPv6Address(int(ip) >> 64 << 64)) + "/64"
    return str(ip)
