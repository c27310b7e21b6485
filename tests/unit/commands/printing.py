"""An engine whose containers print what a test says, and crash when it says so."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping

from gitship.engine.docker import DockerEngine
from gitship.engine.types import ContainerState, LogLine
from gitship.errors import NotFound
from gitship.store import Store


class Stream(Iterator[LogLine]):
    """A log stream that says whether it was read to its end."""

    def __init__(self, lines: Iterator[LogLine]) -> None:
        self._lines = lines
        self.ended = False

    def __next__(self) -> LogLine:
        try:
            return next(self._lines)
        except BaseException:
            self.ended = True
            raise


class Printing(DockerEngine):
    """Never connects. Its containers are those that the store says are live; their logs end with them."""

    def __init__(self, store: Store) -> None:
        super().__init__("unix:///nowhere")
        self._store = store
        self._printed: list[LogLine] = []
        self._more = threading.Condition()
        self._crashes = 0
        self._crashed: list[str] = []
        self.streams: list[Stream] = []

    def print_line(self, line: LogLine) -> None:
        with self._more:
            self._printed.append(line)
            self._more.notify_all()

    def crash(self) -> None:
        self._crashes += 1

    def crash_one(self, name: str) -> None:
        self._crashed.append(name)

    def list(self, labels: Mapping[str, str]) -> list[ContainerState]:
        return []

    def inspect(self, container_id: str) -> ContainerState:
        name = self._name(container_id)
        if name is None:
            raise NotFound(f"no container {container_id}")
        return ContainerState(container_id, name, {}, "running")

    def logs(
        self,
        container_id: str,
        *,
        tail: int | None = None,
        since: float | None = None,
        follow: bool = False,
        stop: threading.Event | None = None,
    ) -> Iterator[LogLine]:
        name = self._name(container_id)
        if name is None:
            raise NotFound(f"no container {container_id}")
        self.streams.append(Stream(self._read(container_id, name, tail, since, follow, stop)))
        return self.streams[-1]

    def _name(self, container_id: str) -> str | None:
        return next((c.name for c in self._store.containers() if c.id == container_id), None)

    def _read(
        self,
        container_id: str,
        name: str,
        tail: int | None,
        since: float | None,
        follow: bool,
        stop: threading.Event | None,
    ) -> Iterator[LogLine]:
        crashes, own = self._crashes, self._crashed.count(name)
        with self._more:
            position = len(self._printed)
            past = [line for line in self._printed if line.container == name and line.at >= (since or 0)]
        yield from past if tail is None else past[len(past) - min(tail, len(past)) :]
        while follow and not (stop and stop.is_set()):
            over = (crashes, own) != (self._crashes, self._crashed.count(name)) or self._name(container_id) is None
            with self._more:
                new, position = self._printed[position:], len(self._printed)
            yield from (line for line in new if line.container == name)
            if over:
                return
            with self._more:
                self._more.wait(0.02)
