"""Schedules the reconciler's rounds, for containers or for everything."""

from __future__ import annotations

import time
from collections.abc import Callable

INTERVAL_S = 10.0
WHOLE_S = 60.0
LOOK_AGAIN_S = 2.0  # while a container is out of service: it may come back
AGAIN_S = 2.0  # after a whole round in which something failed; twice as long each time, up to WHOLE_S


class ReconcileSchedule:
    """Safe from any thread: each method does one thing at once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._whole_at = 0.0
        self._again_s = AGAIN_S

    @property
    def whole(self) -> bool:
        """The next one is whole."""
        return self._clock() >= self._whole_at

    def ask_whole(self) -> None:
        """The next one is whole, also when one is under way: it may have looked already."""
        self._whole_at = 0.0

    def begun_whole(self) -> None:
        self._whole_at = self._clock() + WHOLE_S

    def succeeded(self) -> None:
        """Of a whole one."""
        self._again_s = AGAIN_S

    def failed(self) -> None:
        """What could not be done would else be tried again only when the minute is over."""
        self._whole_at = min(self._whole_at, self._clock() + self._again_s)
        self._again_s = min(2 * self._again_s, WHOLE_S)

    def rest_s(self, *, soon: bool) -> float:
        """So long nothing has to be looked at, unless something happens; ``soon``: a container is out of service."""
        return min(LOOK_AGAIN_S if soon else INTERVAL_S, max(0.0, self._whole_at - self._clock()))
