"""Feeds a pack from the client into a pipe, in a thread."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from contextlib import suppress

from gitship.git.streams import ByteSource

CHUNK_BYTES = 256 << 10
PIPE_BYTES = 1 << 20
_QUIET_S = 1.0


class PackFeed:
    """Reads the client until its end, into the pipe of whoever takes the pack; throws away what nobody wants.

    A client need not end its stream after the pack (Dulwich's does not), so whoever takes the pack knows by itself
    where it ends. The thread then still waits for the client: it ends when the session closes the stream.
    """

    def __init__(self, source: ByteSource, head: bytes) -> None:
        self._source = source
        self._head = head
        self._pipe: int | None = None
        self._thread = threading.Thread(target=self._run, name="git-feed", daemon=True)
        self.received_bytes = len(head)
        self.ended = threading.Event()
        self._waiting_since: float | None = time.monotonic()

    @property
    def objects(self) -> int:
        """How many objects the pack says it has."""
        return int.from_bytes(self._head[8:12], "big")

    def pipe(self) -> int:
        """Starts the transfer; the file descriptor, owned by the caller, at which the pack can be read."""
        reader, self._pipe = os.pipe()
        with suppress(OSError):  # an unprivileged user's pipes may be at their limit
            fcntl.fcntl(self._pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._thread.start()
        return reader

    def stalled(self, limit_s: float) -> bool:
        """True when the client is silent for ``limit_s`` seconds."""
        since = self._waiting_since
        return since is not None and not self.ended.is_set() and time.monotonic() - since > limit_s

    def discard(self, limit_s: float) -> None:
        """Lets the client finish and so read why it was refused: until its end, a second of silence, or the limit."""
        if self._thread.ident is None:
            self._thread.start()
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline and not self.stalled(_QUIET_S):
            if self.ended.wait(0.05):
                return

    def _run(self) -> None:
        try:
            self._pass_on(self._head)
            while True:
                self._waiting_since = time.monotonic()
                data = self._source.read(CHUNK_BYTES)
                self._waiting_since = None
                if not data:
                    return
                self.received_bytes += len(data)
                self._pass_on(data)
        except OSError:
            pass  # the client has gone, which is an end as well
        finally:
            self._close_pipe()
            self.ended.set()

    def _pass_on(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest and self._pipe is not None:
            try:
                rest = rest[os.write(self._pipe, rest) :]
            except BrokenPipeError:  # the taker has all it wants
                self._close_pipe()

    def _close_pipe(self) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None
