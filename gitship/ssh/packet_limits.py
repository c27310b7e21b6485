"""Paramiko's packet layer with limits on lengths and stalled writes."""

from __future__ import annotations

import contextlib
import socket
import time

from paramiko import SSHException
from paramiko.packet import Packetizer

from gitship.ssh.connection_limits import ConnectionLimits
from gitship.ssh.read_ahead import ReadAhead

MAX_BANNER_BYTES = 8192


class Packets(Packetizer):
    """One connection's packets. ``authenticated`` lifts the length limit from the RFC's minimum to the server's own."""

    def __init__(self, stream: ReadAhead, limits: ConnectionLimits) -> None:
        super().__init__(stream)  # type: ignore[arg-type]  # a socket in all that Paramiko calls
        self._stream = stream
        self._limits = limits
        self._max_bytes = limits.unauthenticated_packet_bytes
        self._banner_bytes = 0

    def authenticated(self) -> None:
        """The client has logged in: longer packets are welcome."""
        self._max_bytes = self._limits.packet_bytes

    def start_handshake(self, timeout: float) -> None:
        """Nothing: Paramiko starts a Timer thread per connection here, which outlives it; the login grace does this."""

    def complete_handshake(self) -> None:
        """Nothing, see ``start_handshake``."""

    def read_all(self, n: int, check_rekey: bool = False) -> bytes:
        """``n`` bytes. Raises SSHException when that is more than a packet may have."""
        if n > self._max_bytes:
            raise SSHException(f"packet of {n} bytes is too large")
        return super().read_all(n, check_rekey)

    def _read_timeout(self, timeout: float) -> bytes:
        # Paramiko collects banner bytes until a line ends, however long it gets.
        data: bytes = super()._read_timeout(timeout)  # type: ignore[misc]
        self._banner_bytes += len(data)
        if self._banner_bytes > MAX_BANNER_BYTES:
            raise SSHException("no SSH banner")
        return data

    def write_all(self, out: bytes) -> None:  # type: ignore[override]
        """Sends all of ``out``. Raises EOFError when the client has gone, or has taken nothing for too long."""
        rest = memoryview(out)
        deadline = time.monotonic() + self._limits.stalled_write_s
        while rest:
            try:
                sent = self._stream.send(rest)
            except TimeoutError:
                if self.closed:
                    raise EOFError from None
                if time.monotonic() >= deadline:
                    self._hang_up()
                    raise EOFError from None
                continue
            except OSError:
                raise EOFError from None
            rest = rest[sent:]
            deadline = time.monotonic() + self._limits.stalled_write_s

    def _hang_up(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.shutdown(socket.SHUT_RDWR)
        self.close()
