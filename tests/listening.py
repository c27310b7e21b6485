"""Servers of tests that answer each connection as a function says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def answering(
    listener: socket.socket, answer: Callable[[socket.socket], None], *, together: bool = False
) -> Iterator[None]:
    """Answers one connection after the other, or all ``together``, and closes it; ``listener`` is closed at the end."""

    def one(connection: socket.socket) -> None:
        with connection:
            answer(connection)

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            if together:
                threading.Thread(target=one, args=(connection,), name="answer", daemon=True).start()
            else:
                one(connection)

    thread = threading.Thread(target=serve, name="answering", daemon=True)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def at_path(path: str) -> socket.socket:
    """A Unix socket that listens there."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(16)
    return listener


def until_closed(connection: socket.socket) -> None:
    """Reads until the other end has closed, however it did."""
    with suppress(OSError):
        while connection.recv(65536):
            pass
