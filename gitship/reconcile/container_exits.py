"""Tells from Docker's events whether a container ended by itself or was stopped. ``container_watcher`` asks."""

from __future__ import annotations

import signal
from enum import Enum, auto

from gitship.engine.types import EngineEvent

# What Docker, too, takes for a wish that the container ends: it does not restart one after these.
STOPS = frozenset({signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGQUIT})


class ContainerExit(Enum):
    """How a container's last life ended; NOT_YET of one that was never started before."""

    NOT_YET = auto()
    BY_ITSELF = auto()
    FROM_OUTSIDE = auto()
    UNSEEN = auto()


class ContainerExits:
    """Remembers what is needed of each container until it is gone."""

    def __init__(self) -> None:
        self._stopping: set[str] = set()
        self._ended: dict[str, ContainerExit] = {}

    def take(self, event: EngineEvent) -> ContainerExit:
        """How the life before this event ended; with ``die``, how this one did."""
        key = event.container_id
        if event.action == "create":
            self._ended[key] = ContainerExit.NOT_YET
        elif event.action == "kill" and event.signal in STOPS:
            self._stopping.add(key)
        elif event.action == "die":
            self._ended[key] = ContainerExit.FROM_OUTSIDE if key in self._stopping else ContainerExit.BY_ITSELF
            self._stopping.discard(key)
        elif event.action == "destroy" or event.action == "start":
            self._stopping.discard(key)
            return self._ended.pop(key, ContainerExit.UNSEEN)
        return self._ended.get(key, ContainerExit.UNSEEN)
