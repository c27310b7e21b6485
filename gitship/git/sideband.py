"""Sideband to the client: report on channel 1, progress on channel 2, keep-alives."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from gitship.git.streams import ByteSink

DATA, PROGRESS = 1, 2
MAX_PAYLOAD = 65515  # a pkt-line holds 65520 bytes, four of them its length and one the channel
BUSY_S = 10.0
KEEP_ALIVE = b"0005\x02"  # what git's receive.keepAlive sends


class Sideband:
    """Writes packets from any thread. A client that has gone sets ``gone``; from then on nothing is written.

    As a context manager it runs the thread that sends an empty packet after ``keepalive_s`` of silence, or, while
    ``busy`` is set, every BUSY_S what that says: a line for whoever waits.
    ``multiplexed`` False is a client without side-band-64k: it gets the report as it is, and no progress.
    """

    def __init__(self, sink: ByteSink, *, multiplexed: bool, keepalive_s: float, gone: threading.Event) -> None:
        self._sink = sink
        self._multiplexed = multiplexed
        self._keepalive_s = keepalive_s
        self.gone = gone
        self._lock = threading.Lock()
        self._last = time.monotonic()
        self._told = self._last
        self.busy: Callable[[], str] | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_alive, name="git-keepalive", daemon=True)

    def __enter__(self) -> Sideband:
        if self._multiplexed:
            self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(1.0)

    def progress(self, line: str) -> None:
        """One line that git shows behind ``remote: ``. Never raises."""
        if self._multiplexed:
            self._told = time.monotonic()
            self._write(_packets(PROGRESS, line.encode("utf-8", "replace") + b"\n"))

    def report(self, data: bytes) -> None:
        """The report-status with the flush packet that ends the conversation; nothing follows it. Never raises."""
        self._ended.set()
        self._write(_packets(DATA, data) + b"0000" if self._multiplexed else data)

    def _write(self, packets: bytes, *, idle: bool = False) -> None:
        """What is ``idle`` does not follow the report."""
        with self._lock:
            if self.gone.is_set() or (idle and self._ended.is_set()):
                return
            try:
                self._sink.write(packets)
            except OSError:
                self.gone.set()
            self._last = time.monotonic()

    def _keep_alive(self) -> None:
        while True:
            due = self._last + self._keepalive_s - time.monotonic()
            if self._ended.wait(max(due, 0.01)):
                return
            busy = self.busy
            if busy is not None and time.monotonic() - self._told >= BUSY_S:
                self._told = time.monotonic()
                self._write(_packets(PROGRESS, busy().encode("utf-8", "replace") + b"\n"), idle=True)
            elif time.monotonic() - self._last >= self._keepalive_s:
                self._write(KEEP_ALIVE, idle=True)


def _packets(channel: int, data: bytes) -> bytes:
    parts = (data[start : start + MAX_PAYLOAD] for start in range(0, len(data), MAX_PAYLOAD))
    return b"".join(b"%04x%c" % (len(part) + 5, channel) + part for part in parts)
