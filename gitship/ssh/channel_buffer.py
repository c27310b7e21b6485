"""Receive buffer of an SSH channel, limited to its window."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from paramiko import SSHException
from paramiko.buffered_pipe import PipeTimeout


class BoundedPipe:
    """Takes the place of Paramiko's BufferedPipe in a channel.

    That one moves all its bytes on every partial read (195 -> 268 MB/s with chunks), and takes whatever it is sent:
    Paramiko does not hold a client to the window that it was given. ``seen`` is called with every chunk as it arrives.
    """

    def __init__(self, limit: int, seen: Callable[[bytes], None] | None = None) -> None:
        self._limit = limit
        self._seen = seen
        self._chunks: deque[bytes | memoryview] = deque()
        self._size = 0
        self._closed = False
        self._changed = threading.Condition(threading.Lock())

    def feed(self, data: bytes) -> None:
        """Adds ``data``. Raises SSHException, which ends the connection, when the client exceeds its window."""
        if self._seen is not None:
            self._seen(data)
        with self._changed:
            if self._size + len(data) > self._limit:
                raise SSHException(f"client sent more than its window of {self._limit} bytes")
            if data:
                self._chunks.append(data)
                self._size += len(data)
                self._changed.notify()

    def read(self, size: int, timeout: float | None = None) -> bytes:
        """At most ``size`` bytes as soon as any are there; b"" at the end. Raises PipeTimeout after ``timeout`` s."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._chunks or self._closed, timeout):
                raise PipeTimeout
            taken: list[bytes | memoryview] = []
            room = size
            while self._chunks and room > 0:
                chunk = self._chunks.popleft()
                if len(chunk) > room:
                    view = memoryview(chunk)
                    self._chunks.appendleft(view[room:])
                    chunk = view[:room]
                taken.append(chunk)
                room -= len(chunk)
            self._size -= size - room
            return bytes(taken[0]) if len(taken) == 1 else b"".join(taken)

    def read_ready(self) -> bool:
        """True when ``read`` would return bytes at once."""
        return self._size > 0

    def close(self) -> None:
        """No more bytes will come; what is there can still be read."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __len__(self) -> int:
        return self._size
