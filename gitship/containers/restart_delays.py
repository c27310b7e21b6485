"""When an ended container with host directories may be started again, with growing pauses.

Docker mounts what it finds under a directory's name at that moment, and follows a symbolic link that has come there
since; so each start is gitship's, which looks first. The pauses are Docker's: none to speak of at first, then twice as
long each time, up to a minute; a container that has run for a while begins anew.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from gitship.model import Container
from gitship.store import Store

FIRST_S = 0.2  # after the second end; the first time whoever looks is late enough
LONGEST_S = 60.0
AGAIN_S = 2.0  # after it could not be started
STEADY_S = 10.0  # who has run for so long has not crashed at its start


@dataclass(slots=True)
class _Life:
    """``started`` and ``due`` in the clock's seconds; ``due`` None while it runs."""

    started: float = -math.inf
    pause_s: float = 0.0
    due: float | None = None


class Restarts:
    """Kept in memory alone: after gitship's own start each container is started at once. Safe from any thread."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._lives: dict[str, _Life] = {}
        self._attended: dict[str, bool] = {}

    def attends(self, container: Container) -> bool:
        """True when Docker must not start it by itself. Raises NotFound when its release is gone."""
        known = self._attended.get(container.id)
        if known is None:  # releases never change
            process = self._store.release(container.release_id).process(container.process)
            known = process is not None and bool(process.host_mounts)
            with self._lock:
                self._attended[container.id] = known
        return known

    def due(self, container_id: str) -> bool:
        """Of one that has ended: it may be started now."""
        with self._lock:
            life = self._lives.setdefault(container_id, _Life())
            now = self._clock()
            if life.due is None:
                if now - life.started >= STEADY_S:
                    life.pause_s = 0.0
                else:
                    life.pause_s = min(max(FIRST_S, 2 * life.pause_s), LONGEST_S)
                life.due = now + life.pause_s
            return now >= life.due

    def started(self, container_id: str) -> None:
        with self._lock:
            life = self._lives.setdefault(container_id, _Life())
            life.started, life.due = self._clock(), None

    def put_off(self, container_id: str) -> None:
        """It cannot be started now, and is due again in a moment."""
        with self._lock:
            self._lives.setdefault(container_id, _Life()).due = self._clock() + AGAIN_S

    def look(self, live: Collection[str], down: Collection[str]) -> None:
        """Forgets containers that are not live any more; one that is not down has been started by somebody else."""
        with self._lock:
            self._lives = {key: life for key, life in self._lives.items() if key in live}
            self._attended = {key: attended for key, attended in self._attended.items() if key in live}
            for container_id, life in self._lives.items():
                if life.due is not None and container_id not in down:
                    life.started, life.due = self._clock(), None

    def next_s(self) -> float:
        """Seconds until one that was asked about is due; inf when none waits."""
        with self._lock:
            waiting = [life.due for life in self._lives.values() if life.due is not None]
            now = self._clock()
        return min((max(0.0, due - now) for due in waiting), default=math.inf)
