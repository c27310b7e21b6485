"""Read-ahead socket for Paramiko: fewer system calls."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

READ_BYTES = 256 << 10


class ReadAhead:
    """Wraps a connected socket; everything but ``recv`` is the socket's own."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._ahead = memoryview(b"")
        self.silent = True  # until the first byte

    def recv(self, size: int) -> bytes:
        """At most ``size`` bytes, from what was read ahead if there is any. Raises what ``socket.recv`` raises."""
        if not self._ahead:
            if size >= READ_BYTES:
                return self._socket.recv(size)
            self._ahead = memoryview(self._socket.recv(READ_BYTES))
            self.silent = False
            self._acknowledge()
        data = bytes(self._ahead[:size])
        self._ahead = self._ahead[size:]
        return data

    def _acknowledge(self) -> None:
        """At once: OpenSSH holds back its next small packet until then, twice 40 ms a connection with a delayed ACK."""
        with suppress(OSError, AttributeError):  # Linux alone has it, and the kernel clears it again by itself
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)
