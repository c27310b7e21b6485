"""Progress display of a long stream on a terminal."""

from __future__ import annotations

import time
from contextlib import suppress

from gitship.console.context import Context
from gitship.console.listing import size

PROGRESS_EVERY_S = 0.5


class Progress:
    """How much has passed; on a terminal it is shown on stderr as it grows."""

    def __init__(self, context: Context, doing: str) -> None:
        self._context = context
        self._doing = doing
        self._shown_at = time.monotonic()
        self._shown = False
        self.bytes = 0

    def add(self, count: int) -> None:
        self.bytes += count
        now = time.monotonic()
        if self._context.terminal and now - self._shown_at >= PROGRESS_EVERY_S:
            self._shown_at, self._shown = now, True
            self._context.session.stderr.write(f"\r{self._doing} {size(self.bytes)}\x1b[K".encode())

    def clear(self) -> None:
        if self._shown:
            with suppress(OSError):
                self._context.session.stderr.write(b"\r\x1b[K")
