"""Docker in memory: a machine with two processors and 4 GB, whose containers print and crash as a test says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from gitship.engine.build_limits import BuildLimits
from gitship.engine.connection import EngineConnection
from gitship.engine.docker import DockerEngine
from gitship.engine.docker_images import DockerImages
from gitship.engine.interface import Program
from gitship.engine.types import Capacity, ContainerState, Image, LogLine, Usage
from gitship.errors import EngineError, NotFound
from gitship.store import Store
from tests.unit.memory.volumes import MemoryVolumes

HANGS_S = 20.0


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


class MemoryImages(DockerImages):
    """There is every image, and each exposes 5000. Never connects."""

    def __init__(self) -> None:
        super().__init__(EngineConnection("unix:///nowhere", 1), "buildkit", BuildLimits(), lambda: "", "")

    def store(self) -> str:
        return "its own store (overlay2)"

    def inspect(self, image_id: str) -> Image:
        return Image(image_id, 1, tcp_ports=(5000,))

    def login(self, server: str, username: str, password: str) -> None:
        if password == "wrong":
            raise EngineError(f"the registry {server} rejected the login", "check user and password")

    def remove(self, image_id: str, mine: Callable[[str], bool], *, untagged: bool) -> bool:
        return True


class PrintingProgram:
    """Prints at once, or hangs until an event."""

    def __init__(self, prints: str | threading.Event) -> None:
        self._prints = prints

    def output(self) -> Iterator[tuple[str, bytes]]:
        if isinstance(self._prints, threading.Event):
            self._prints.wait(HANGS_S)
            return
        yield "stdout", self._prints.encode()

    def send(self, data: bytes) -> bool:
        return True

    def end_input(self) -> None:
        """It reads nothing."""

    def resize(self, columns: int, rows: int) -> bool:
        return True

    def exit_code(self) -> int:
        return 0

    def close(self) -> None:
        """It has ended."""


class MemoryEngine(DockerEngine):
    """Its containers are those that the store says are live, and their logs end with them.

    Never connects: what is not answered here would fail.
    """

    def __init__(self, store: Store | None = None, images: DockerImages | None = None) -> None:
        super().__init__("unix:///nowhere")
        self._store = store
        self._images = images or MemoryImages()
        self._kept = MemoryVolumes()
        self.removed: list[str] = []
        self._printed: list[LogLine] = []
        self._more = threading.Condition()
        self._crashes = 0
        self._crashed: list[str] = []
        self.streams: list[Stream] = []
        self.services_down: dict[str, str] = {}  # Docker's words for containers that do not run
        self.printed_by_programs: dict[str, str | threading.Event] = {}  # by container; an Event hangs until it is set

    @property
    def volumes(self) -> MemoryVolumes:  # type: ignore[override]
        return self._kept

    def ping(self) -> str:
        return "1"

    def image_root(self) -> Path | None:
        return None

    def free_bytes(self) -> int:
        return 1 << 40

    def capacity(self) -> Capacity:
        return Capacity(cpus=2, memory_bytes=4 << 30, platforms=("linux/amd64", "linux/386"))

    def remove_network(self, name: str) -> None:
        """No app has one."""

    def list(self, labels: Mapping[str, str]) -> list[ContainerState]:
        return []

    def remove(self, container_id: str) -> None:
        self.removed.append(container_id)

    def usage(self, container_id: str) -> Usage | None:
        return None

    def print_line(self, line: LogLine) -> None:
        with self._more:
            self._printed.append(line)
            self._more.notify_all()

    def crash(self) -> None:
        self._crashes += 1

    def crash_one(self, name: str) -> None:
        self._crashed.append(name)

    def inspect(self, container_id: str) -> ContainerState:
        name = self._name(container_id)
        if name is None:
            raise NotFound(f"no container {container_id}")
        status = self.services_down.get(container_id, "running")
        return ContainerState(container_id, name, {}, status, started_at=1_700_000_000.0)

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
        containers = self._store.containers() if self._store else ()
        services = self._store.services() if self._store else ()
        names = {c.id: c.name for c in containers} | {s.container: f"{s.name}.service.0" for s in services}
        return names.get(container_id)

    def attach_exec(self, container_id: str, *given: object, **more: object) -> Program:
        """A program that prints what ``printed_by_programs`` has for its container."""
        return PrintingProgram(self.printed_by_programs.get(container_id, ""))

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
