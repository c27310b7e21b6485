"""Pending connections beyond the limit wait until others close.

Every SSH client begins to speak at once. So whoever speaks takes the place of one that is silent, and a flood of
sockets that say nothing keeps nobody out, at one file descriptor each and one thread for all.
"""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

log = logging.getLogger("gitship.ssh")
LOOK_S = 0.25


@dataclass(frozen=True, slots=True)
class _PendingConnection:
    sock: socket.socket
    address: str
    reason: str
    until: float


class PendingConnections:
    """``spoken`` is called with a socket and its peer's address, ``left`` with a socket and why it had no place.

    Both take the socket over; they are called in the lobby's thread, or in ``wait``'s when there is no room.
    """

    def __init__(
        self,
        most: int,
        patience_s: float,
        spoken: Callable[[socket.socket, str], None],
        left: Callable[[socket.socket, str], None],
    ) -> None:
        self._most = most
        self._patience_s = patience_s
        self._spoken = spoken
        self._left = left
        self._lock = threading.Lock()
        self._guests: dict[int, _PendingConnection] = {}  # by file descriptor, in the order in which they came
        self._poll = select.epoll()  # what is registered meanwhile counts at once
        self._wake, self._waker = socket.socketpair()  # for the end
        self._poll.register(self._wake, select.EPOLLIN)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gitship-ssh-lobby", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Turns everybody away."""
        self._ended.set()
        if self._thread.is_alive():
            self._waker.send(b".")
            self._thread.join(timeout_s)
        for guest in self._leaving(lambda number: True):
            self._left(guest.sock, guest.reason)
        self._poll.close()
        self._wake.close()
        self._waker.close()

    def wait(self, sock: socket.socket, address: str, reason: str) -> None:
        """Takes a guest in; when there is no room, who has waited longest leaves."""
        guest = _PendingConnection(sock, address, reason, time.monotonic() + self._patience_s)
        oldest = None
        with self._lock:
            if len(self._guests) >= self._most:
                oldest = self._out(next(iter(self._guests)))
            self._guests[sock.fileno()] = guest
            self._poll.register(sock, select.EPOLLIN)
        if oldest is not None:
            self._left(oldest.sock, oldest.reason)

    def _run(self) -> None:
        while not self._ended.is_set():
            ready = {number for number, _ in self._poll.poll(LOOK_S)}
            for guest in self._leaving(ready.__contains__):
                try:
                    self._spoken(guest.sock, guest.address)
                except Exception:  # one connection's failure is not the lobby's
                    log.exception("%s: cannot take the connection", guest.address)
                    guest.sock.close()
            for guest in self._leaving(self._overdue):
                self._left(guest.sock, guest.reason)

    def _overdue(self, number: int) -> bool:
        return self._guests[number].until < time.monotonic()

    def _leaving(self, which: Callable[[int], bool]) -> list[_PendingConnection]:
        """Those whose file descriptors are meant."""
        with self._lock:
            return [self._out(number) for number in list(self._guests) if which(number)]

    def _out(self, number: int) -> _PendingConnection:
        guest = self._guests.pop(number)
        with contextlib.suppress(OSError, ValueError):
            self._poll.unregister(guest.sock)
        return guest
