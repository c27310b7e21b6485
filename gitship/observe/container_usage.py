"""Resource use of live containers, sampled every few seconds.

A reading of one container takes 0.1 ms (Docker's own answer 1.0 s); processor use is the difference of two.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

from gitship.engine.interface import Engine
from gitship.engine.types import Usage
from gitship.errors import GitshipError
from gitship.store import Store

log = logging.getLogger("gitship.figures")
INTERVAL_S = 5.0
SHORTEST_S = 0.5  # between two readings that processor use is told from
STOP_S = 5.0


@dataclass(frozen=True, slots=True)
class ContainerUsage:
    """``cpu_percent`` is of one processor, None until it can be told; memory as `docker stats` counts it."""

    cpu_percent: float | None = None
    memory_bytes: int | None = None
    limit_bytes: int | None = None


UNKNOWN = ContainerUsage()


class UsageSampler:
    """Owns the thread ``figures``."""

    def __init__(self, store: Store, engine: Engine) -> None:
        self._store = store
        self._engine = engine
        self._readings: dict[str, tuple[Usage, ...]] = {}  # by container id: the last two, oldest first
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="figures", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(STOP_S)

    def figures(self, container_id: str) -> ContainerUsage:
        """As of now; nothing is known of a container on another machine."""
        try:
            now = self._engine.usage(container_id)
        except GitshipError:
            now = None
        if now is None:
            return UNKNOWN
        percent = self._cpu_percent(container_id, now)
        self._readings.setdefault(container_id, (now,))  # of a new one: whoever asks again need not wait for the thread
        return ContainerUsage(percent, now.memory_bytes, now.limit_bytes)

    def sample(self) -> None:
        """Reads all live containers once; of one that cannot be read nothing is known."""
        readings = {}
        for container in self._store.containers():
            try:
                usage = self._engine.usage(container.id)
            except GitshipError:  # it is gone just now, or Docker is down: the reconciler says so
                continue
            if usage is not None:
                readings[container.id] = (*self._readings.get(container.id, ()), usage)[-2:]
        self._readings = readings

    def _cpu_percent(self, container_id: str, now: Usage) -> float | None:
        for before in reversed(self._readings.get(container_id, ())):
            seconds = now.at - before.at
            if seconds >= SHORTEST_S and now.cpu_s >= before.cpu_s:  # less: it has started again
                return round(100 * (now.cpu_s - before.cpu_s) / seconds, 1)
        return None

    def _loop(self) -> None:
        while not self._stop.wait(INTERVAL_S):
            try:
                self.sample()
            except Exception:
                log.exception("reading what containers use")
