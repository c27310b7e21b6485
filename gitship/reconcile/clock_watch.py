"""Detects changes of the machine's clock, and adjusts stored deadlines.

What only this process waits for goes by ``time.monotonic`` and needs none of this. What has happened keeps the time at
which the clock showed it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from gitship.https.acme_errors import LONGEST_HOLD_S
from gitship.store import Store

log = logging.getLogger("gitship.clock")
CLOCK = "clock"  # the server's setting: how far the time of day was from the time since the boot, and of which boot
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
LOOK_S = 1.0
STEP_S = 2.0  # less is no matter; a time server that slews the clock changes nothing here at all
SURE_S = 0.1  # two readings of one clock that are further apart say nothing of the other that was read in between
STOP_S = 5.0


def ahead_s() -> float:
    """The time of day less the time since the boot, suspension included: changes only when the clock is set."""
    while True:
        before = time.clock_gettime(time.CLOCK_BOOTTIME)
        now = time.time()
        after = time.clock_gettime(time.CLOCK_BOOTTIME)
        if after - before < SURE_S:
            return now - after


class ClockWatch:
    """Owns the thread ``clock_watch``."""

    def __init__(self, store: Store, ahead: Callable[[], float] = ahead_s, boot_id: str | None = None) -> None:
        self._store = store
        self._ahead = ahead
        self._boot_id = BOOT_ID.read_text().strip() if boot_id is None else boot_id
        self._known_s = ahead()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="clock", daemon=True)

    def start(self) -> None:
        """Also takes in that the clock was set while no gitship ran, unless the machine has been started since."""
        kept = self._store.server_setting(CLOCK) or {}
        if kept.get("boot") == self._boot_id:
            self._known_s = float(kept["ahead_s"])
        else:
            self._keep(self._known_s)
        self.look()
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(STOP_S)

    def look(self) -> None:
        step_s = self._ahead() - self._known_s
        if abs(step_s) < STEP_S:
            return
        before = time.time() - step_s
        with self._store.transaction():
            self._store.move_deadlines(step_s, before + LONGEST_HOLD_S)
            self._keep(self._known_s + step_s)
        self._known_s += step_s
        log.warning("the clock was set %s by %.0f s", "forward" if step_s > 0 else "back", abs(step_s))

    def _keep(self, ahead_s: float) -> None:
        self._store.set_server_setting(CLOCK, {"boot": self._boot_id, "ahead_s": ahead_s})

    def _loop(self) -> None:
        while not self._stop.wait(LOOK_S):
            try:
                self.look()
            except Exception:
                log.exception("looking at the clock")
