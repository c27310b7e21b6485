"""How an app's containers are, and what they print. ``ServerOperations`` answers with these."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from gitship.containers import crash_loops
from gitship.engine.interface import Engine
from gitship.engine.types import ContainerState, LogLine
from gitship.errors import NotFound
from gitship.logs.stream import LogReader, LogSelection
from gitship.model import App, Container, ContainerEventKind
from gitship.observe.container_usage import UNKNOWN, ContainerUsage, UsageSampler
from gitship.store import Store

PARALLEL_LOOKS = 4  # an inspect takes 2 ms; more at once only queue in Docker
NEVER = threading.Event()
CRASH_LOOP = "crash loop"


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """A running (or not) container of an app's live release; ``started_at`` is epoch seconds.

    ``figures`` is what it uses now, ``ooms`` how often a process in it was killed because memory ran out.
    """

    container: str
    process: str
    release: int
    status: str
    health: str
    address: str
    port: int | None
    restarts: int
    started_at: float | None
    ooms: int = 0
    figures: ContainerUsage = UNKNOWN


class Looking:
    """Every method raises GitshipError with a hint."""

    def __init__(self, store: Store, engine: Engine, sampler: UsageSampler, tails: LogReader) -> None:
        self._store = store
        self._engine = engine
        self._sampler = sampler
        self._tails = tails

    def processes(self, app: App) -> list[ProcessStatus]:
        containers = self._store.containers(app.id)
        if len(containers) <= 1:
            return [self._process(container) for container in containers]
        with ThreadPoolExecutor(PARALLEL_LOOKS, thread_name_prefix="look") as pool:
            return list(pool.map(self._process, containers))

    def _process(self, container: Container) -> ProcessStatus:
        try:
            state = self._engine.inspect(container.id)
        except NotFound:
            state = ContainerState(container.id, container.name, {}, "missing")
        running = state.status == "running"
        events = self._store.events_of_container(container.id)
        looping = crash_loops.is_looping(events, time.time())
        return ProcessStatus(
            container=container.name,
            process=container.process,
            release=self._store.release(container.release_id).number,
            status=CRASH_LOOP if looping else self._status(container, state),
            health=state.health,
            address=container.address,
            port=container.port,
            restarts=max([state.restarts, *(event.deaths for event in events)]),
            started_at=state.started_at if running else None,
            ooms=sum(event.kind is ContainerEventKind.OOM for event in events),
            figures=self._sampler.figures(container.id) if running else UNKNOWN,
        )

    def _status(self, container: Container, state: ContainerState) -> str:
        """One that gitship starts again is to its owner what one is that Docker does."""
        process = self._store.release(container.release_id).process(container.process)
        waits = state.status == "exited" and process is not None and process.host_mounts
        return "restarting" if waits else state.status

    def logs(
        self,
        app: App,
        *,
        process: str | None,
        tail: int,
        since: float | None,
        follow: bool,
        stop: threading.Event | None,
        matches: Callable[[str], bool] | None,
        release: int | None,
    ) -> Iterator[LogLine]:
        found = self._store.app_by_id(app.id)
        wanted = LogSelection(process, tail, since, matches)
        if release is not None:
            return self._tails.of_release(found, release, wanted, stop or NEVER)
        containers = self._store.containers(found.id)
        if process is not None and found.live_release is not None and process not in {c.process for c in containers}:
            raise NotFound(f"no '{process}' of {found.name} is running", "see `ps:list`")
        read = self._tails.live if follow else self._tails.past
        return read(found, wanted, stop or NEVER)
