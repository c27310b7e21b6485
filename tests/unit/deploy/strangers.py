"""Servers that drip, flood and never end: what a stranger may do to whoever asks it."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

WAIT_S = 20.0
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"


def dripped(what: bytes = b"", again: bytes = b"x") -> Iterator[bytes]:
    """A byte every 0.1 s, and so on for ever."""
    for byte in itertools.chain(what, itertools.cycle(again)):
        yield bytes([byte])
        time.sleep(0.1)  # what is tested is a server that is slow


class Stranger:
    """Answers every request with ``pieces()``, until the other end closes; ``closed`` is set then."""

    def __init__(self, pieces: Callable[[], Iterable[bytes]]) -> None:
        self._pieces = pieces
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.asked, self.closed = threading.Event(), threading.Event()
        self.count = 0  # of requests
        threading.Thread(target=self._listen, name="stranger", daemon=True).start()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(connection,), name="answer", daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            connection.recv(65536)
            self.count += 1
            self.asked.set()
            try:
                for piece in self._pieces():
                    connection.sendall(piece)
            except OSError:
                self.closed.set()

    def sets(self, event: threading.Event) -> None:
        """As soon as it has been asked something."""

        def wait() -> None:
            if self.asked.wait(WAIT_S):
                event.set()

        threading.Thread(target=wait, name="when-asked", daemon=True).start()

    def close(self) -> None:
        self._listener.close()


@contextmanager
def stranger(pieces: Callable[[], Iterable[bytes]]) -> Iterator[Stranger]:
    found = Stranger(pieces)
    try:
        yield found
    finally:
        found.close()


def within(work: Callable[[], object]) -> list[BaseException]:
    """What ``work`` raised; fails when it does not end at all."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, name="work", daemon=True)
    thread.start()
    thread.join(WAIT_S)
    assert not thread.is_alive(), "it does not end"
    return raised


DRIPS = {
    "status line": lambda: dripped(b"HTTP/1.1 200 OK\r\nX-Slow: "),
    "headers": lambda: itertools.chain([b"HTTP/1.1 200 OK\r\n"], dripped(b"", b"X: y\r\n")),
    "body": lambda: itertools.chain([HEAD], dripped()),
    "interim answers": lambda: dripped(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


FLOODS = {
    "headers": lambda: itertools.chain([b"HTTP/1.1 200 OK\r\n"], itertools.repeat(b"X: " + b"y" * 60_000 + b"\r\n")),
    "interim answers": lambda: itertools.repeat(b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n" * 1000),
    "body": lambda: itertools.chain([b"HTTP/1.1 200 OK\r\n\r\n"], itertools.repeat(b"z" * 65536)),
    "trailers": lambda: itertools.chain(
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"], itertools.repeat(b"X: y\r\n" * 1000)
    ),
}
