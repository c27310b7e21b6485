"""A TCP connection that a client forwards (`ssh -L`, RFC 4254 section 7.2): a channel and a socket.

Neither side is read ahead of the other: what one does not take, the other may not send (the channel by its window).
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import socket
import threading
from collections.abc import Callable
from typing import Protocol

from paramiko import Channel, SSHException

from gitship.errors import GitshipError
from gitship.model import Identity
from gitship.ssh.channel import ChannelInput

log = logging.getLogger("gitship.ssh")

PIECE_BYTES = 64 << 10
_numbers = itertools.count(1)


class ForwardTarget(Protocol):
    """Where a forwarded connection leads, for an identity that may."""

    def connect(self) -> socket.socket:
        """Raises GitshipError, OSError."""
        ...

    def still_may(self) -> bool: ...

    def ended(self, error: str, to_target: int, from_target: int) -> None:
        """It is over; ``error`` says why it was not as it should be. Bytes that have passed each way."""
        ...


# (identity, host, port) as the client names them -> where that leads. Raises GitshipError for whom or what it may not.
ForwardTo = Callable[[Identity, str, int], ForwardTarget]


def nowhere(identity: Identity, host: str, port: int) -> ForwardTarget:
    raise GitshipError("this server forwards nothing")


class ForwardedConnection:
    """From the opened channel to the end of both directions. ``finished`` is called in a thread of its own."""

    def __init__(
        self, channel: Channel, target: ForwardTarget, finished: Callable[[ForwardedConnection], None]
    ) -> None:
        self.channel = channel
        self._target = target
        self._finished = finished
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self._closed = False
        self._error = ""
        self._passed = {"to": 0, "from": 0}
        self.thread = threading.Thread(target=self._run, name=f"gitship-ssh-forward-{next(_numbers)}", daemon=True)

    def start(self) -> None:
        try:
            self.thread.start()
        except RuntimeError:  # there can be no more threads
            self.close()
            self._over("no thread for it")

    def _over(self, error: str) -> None:
        self._target.ended(error, self._passed["to"], self._passed["from"])
        self._finished(self)

    def recheck(self) -> None:
        """Ends it when the key may not any more."""
        if not self._target.still_may():
            self.close("the key may no longer use it")

    def close(self, error: str = "") -> None:
        """Ends both directions at once. Safe from any thread, and more than once."""
        with self._lock:
            if self._closed:
                return
            self._closed, self._error = True, error
            sock = self._socket
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError, SSHException, EOFError):
            self.channel.close()

    def _run(self) -> None:
        try:
            sock = self._connected()
            if sock is not None:
                with sock:
                    self._pass(sock)
        finally:
            self.close()
            self._over(self._error)

    def _connected(self) -> socket.socket | None:
        """None when it cannot be, or has been closed meanwhile."""
        try:
            sock = self._target.connect()
        except GitshipError as error:
            self.close(error.message)
            return None
        except OSError as error:
            self.close(f"no connection: {error.strerror or error}")
            return None
        with self._lock:
            if not self._closed:
                self._socket = sock
                return sock
        sock.close()
        return None

    def _pass(self, sock: socket.socket) -> None:
        back = threading.Thread(target=self._back, args=(sock,), name=f"{self.thread.name}-back", daemon=True)
        back.start()
        self._forth(sock)
        back.join()

    def _forth(self, sock: socket.socket) -> None:
        """What the client sends; its end of input closes this direction only."""
        given = ChannelInput(self.channel)
        try:
            while data := given.read(PIECE_BYTES):
                sock.sendall(data)
                self._passed["to"] += len(data)
            if not self.channel.eof_received:
                raise ConnectionError("the client has gone")
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()

    def _back(self, sock: socket.socket) -> None:
        """What the service answers. A service that takes its time is waited for, and so is a slow client."""
        try:
            while data := sock.recv(PIECE_BYTES):
                self.channel.sendall(data)
                self._passed["from"] += len(data)
            self.channel.shutdown_write()
        except (OSError, SSHException, EOFError):
            self.close()
