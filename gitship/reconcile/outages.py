"""Takes live containers that are down or unhealthy out of traffic.

One that is up again has to stay up for a while first, or a crash loop would have visitors between two crashes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from gitship.engine.types import ContainerState
from gitship.model import Container

BACK_AFTER_S = 5.0


class Outages:
    """Kept in memory alone: the first look of the next gitship finds out again. Safe from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._up_since: dict[str, float | None] = {}  # of those that are out; None while they are down
        self._changed: set[int] = set()

    def ended(self, container: Container) -> None:
        """It has ended just now, by itself or not."""
        with self._lock:
            self._up_since[container.id] = None
            self._changed.add(container.app_id)

    def look(self, live: Iterable[Container], states: Iterable[ContainerState]) -> None:
        """``states`` are all containers as they are now."""
        present = {state.id: state for state in states}
        wanted = {container.id: container for container in live}
        with self._lock:
            before = set(self._up_since)
            for container_id in wanted:
                self._look(container_id, present.get(container_id))
            self._changed |= {wanted[i].app_id for i in before ^ set(self._up_since) if i in wanted}
            for container_id in self._up_since.keys() - wanted.keys():
                del self._up_since[container_id]

    def _look(self, container_id: str, state: ContainerState | None) -> None:
        if state is None or state.status != "running" or state.health == "unhealthy":
            self._up_since[container_id] = None
        elif container_id in self._up_since:
            since = self._up_since[container_id]
            if since is None:
                self._up_since[container_id] = self._clock()
            elif self._clock() - since >= BACK_AFTER_S:
                del self._up_since[container_id]

    def changed(self) -> set[int]:
        """Ids of the apps of which containers have gone out or come back since the last call."""
        with self._lock:
            changed, self._changed = self._changed, set()
            return changed

    def out(self) -> frozenset[str]:
        """Ids of the containers that shall get no traffic while others do."""
        with self._lock:
            return frozenset(self._up_since)
