"""Limits how often an unknown key is recorded: at most once a minute each."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

NOTED_EVERY_S = 60.0
REMEMBERED = 4096  # also the most that are noted in a minute


class UnknownKeys:
    """Calls ``note`` with (fingerprint, address), at most once per pair and ``NOTED_EVERY_S``. Safe from any thread."""

    def __init__(self, note: Callable[[str, str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._note = note
        self._clock = clock
        self._lock = threading.Lock()
        self._noted: OrderedDict[tuple[str, str], float] = OrderedDict()  # oldest first

    def knocked(self, fingerprint: str, address: str) -> None:
        """An unknown key was offered."""
        now = self._clock()
        with self._lock:
            while self._noted and now - next(iter(self._noted.values())) >= NOTED_EVERY_S:
                self._noted.popitem(last=False)
            if (fingerprint, address) in self._noted or len(self._noted) >= REMEMBERED:
                return
            self._noted[fingerprint, address] = now
        self._note(fingerprint, address)
