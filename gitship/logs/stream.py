"""Log stream of an app's containers, by time, with container events.

Following outlives the containers: one that crashes is attached to again, a new release's as soon as they are live.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain

from gitship.engine import types as values
from gitship.engine.interface import Engine
from gitship.engine.logs import MergedLogs, merge
from gitship.engine.types import LogLine
from gitship.errors import NotFound
from gitship.events import Bus, Event
from gitship.logs.archive import LogArchive
from gitship.model import App, Container, ContainerEvent
from gitship.ownership import Ownership
from gitship.store import Store

EVENT = "event"  # the stream of lines that say what happened
REATTACH_S = 0.5
CLOCK_SLACK_S = 60.0  # Docker's machine may be another, with a clock of its own
OVERLAP_S = 1e-6  # a float holds today's times to 0.24 us; what comes twice is dropped by its time


@dataclass(frozen=True, slots=True)
class LogSelection:
    """Which lines: the last ``tail`` of each container, of those not before ``since`` (epoch seconds) that match."""

    process: str | None = None
    tail: int = 100
    since: float | None = None
    matches: Callable[[str], bool] | None = None

    def passes(self, line: LogLine) -> bool:
        return (self.since is None or line.at >= self.since) and (self.matches is None or self.matches(line.text))

    def last(self, lines: Iterable[LogLine]) -> Iterator[LogLine]:
        """Of one container's lines, once they have all been read."""
        yield from deque(filter(self.passes, lines), maxlen=self.tail)


class LogReader:
    """Reads logs."""

    def __init__(self, store: Store, bus: Bus, engine: Engine, kept: LogArchive) -> None:
        self._store = store
        self._bus = bus
        self._engine = engine
        self._kept = kept
        self._whole = WholeLog(engine, kept)
        self._server_id = store.server_id()
        self._ownership = Ownership(store)

    def past(self, app: App, wanted: LogSelection, stop: threading.Event) -> Iterator[LogLine]:
        """Of the live containers, up to now."""
        return self._tail(app, wanted, stop).past()

    def live(self, app: App, wanted: LogSelection, stop: threading.Event) -> Iterator[LogLine]:
        """Of the live containers, and of all that will be, until ``stop`` is set or the app is destroyed (NotFound)."""
        return self._tail(app, wanted, stop).lines()

    def of_release(self, app: App, number: int, wanted: LogSelection, stop: threading.Event) -> Iterator[LogLine]:
        """Of all containers that a release has had, as far as they are kept or still there. Raises NotFound."""
        release = self._store.release_number(app.id, number)
        types = [process.type for process in release.processes]
        if wanted.process is not None and wanted.process not in types:
            raise NotFound(
                f"{release.label} of {app.name} has no process '{wanted.process}'", f"it has {', '.join(types)}"
            )
        labels = {
            values.LABEL_SERVER: self._server_id, values.LABEL_APP_ID: str(app.id), values.LABEL_RELEASE: str(number),
        }  # fmt: skip
        here = self._ownership.processes(self._engine.list(labels)).get(app.id, [])
        ids = {state.id[:12] for state in here}
        kept = [k for k in self._kept.of_release(app, number) if k.container_id not in ids]
        if not here and not kept:
            there = [f"v{other}" for other in self._kept.releases(app)]
            hint = f"there are logs of {', '.join(there)}" if there else "logs are kept when a release ends"
            raise NotFound(f"there is no log of {release.label} of {app.name}", hint)
        live = {container.id: container.process for container in self._store.containers(app.id)}
        logs = [wanted.last(k.lines(app)) for k in kept if wanted.process in (None, k.process)]
        logs += [
            self._whole.last(app, state.id, wanted, partial(self._engine.logs, state.id, since=wanted.since, stop=stop))
            for state in here
            if wanted.process in (None, live.get(state.id) or state.labels.get(values.LABEL_PROCESS))
        ]
        events = [event for event in self._store.container_events(app.id) if event.release == number]
        return _with_events(merge(logs), events, wanted)

    def _tail(self, app: App, wanted: LogSelection, stop: threading.Event) -> LogTail:
        return LogTail(self._store, self._bus, self._engine, self._whole, app, wanted, stop)


class WholeLog:
    """A container's log up to now also while the container goes: from Docker, or else from the file that was kept."""

    def __init__(self, engine: Engine, kept: LogArchive) -> None:
        self._engine = engine
        self._kept = kept

    def last(
        self, app: App, container_id: str, wanted: LogSelection, read: Callable[[], Iterable[LogLine]]
    ) -> Iterator[LogLine]:
        """``read`` reads it from Docker. What came counts if the container is still there after: else it may be cut."""
        lines: list[LogLine] = []
        with suppress(NotFound):
            lines = list(wanted.last(read()))
            if self._engine.inspect(container_id).status not in values.GOING:
                yield from lines
                return
        kept = self._kept.of_container(app, container_id)
        yield from wanted.last(kept.lines(app)) if kept else lines


class LogTail:
    """One reading of an app's logs."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        engine: Engine,
        whole: WholeLog,
        app: App,
        wanted: LogSelection,
        stop: threading.Event,
    ) -> None:
        self._store = store
        self._bus = bus
        self._engine = engine
        self._whole = whole
        self._app = app
        self._wanted = wanted
        self._stop = stop
        self._together = MergedLogs()
        self._read_until: dict[str, float] = {}  # container id -> time of the last line read, wanted or not
        self._attached_at: dict[str, float] = {}  # monotonic seconds
        self._first: set[str] = set()  # the containers that were there when it began
        self._told: set[tuple[str, float]] = set()  # what happened (container, at) and stood among the past lines
        self._began = time.time()

    def past(self) -> Iterator[LogLine]:
        containers = self._containers()
        events = [e for e in self._store.container_events(self._app.id) if e.container_id in {c.id for c in containers}]
        self._told = {(event.container, event.at) for event in events}
        return _with_events(merge([self._last_lines(c) for c in containers]), events, self._wanted)

    def lines(self) -> Iterator[LogLine]:
        """First what was, then what comes."""
        with self._bus.subscribe(self._concerns) as news:
            self._first = {container.id for container in self._containers()}
            yield from self.past()
            yield from self._together.lines(lambda: self._look(news.get))

    def _containers(self) -> list[Container]:
        return [c for c in self._store.containers(self._app.id) if self._wanted.process in (None, c.process)]

    def _concerns(self, event: Event) -> bool:
        found = event.happening
        return found is not None and found.app_id == self._app.id and self._wanted.process in (None, found.process)

    def _last_lines(self, container: Container) -> Iterator[LogLine]:
        wanted = self._wanted
        if wanted.tail == 0:
            return
        # without a pattern Docker itself counts the lines from the end
        tail = wanted.tail if wanted.matches is None else None

        def read() -> Iterator[LogLine]:
            return self._noted(
                container, self._engine.logs(container.id, tail=tail, since=wanted.since, stop=self._stop)
            )

        yield from self._whole.last(self._app, container.id, wanted, read)

    def _noted(self, container: Container, lines: Iterator[LogLine]) -> Iterator[LogLine]:
        for line in lines:
            self._read_until[container.id] = line.at
            yield line

    def _look(self, news: Callable[[float], Event | None]) -> bool:
        if self._stop.is_set():
            return False
        while event := news(0.0):
            found = event.happening
            if (
                found is None
                or event.at < min(self._began, time.time() - CLOCK_SLACK_S)
                or (found.container, event.at) in self._told
            ):
                continue
            if self._wanted.passes(line := event_line(found)):
                self._together.put(line)
        try:
            self._store.app_by_id(self._app.id)
        except NotFound:
            raise NotFound(f"no app '{self._app.name}'", "it was destroyed meanwhile") from None
        now = time.monotonic()
        for container in self._containers():
            due = now - self._attached_at.get(container.id, -REATTACH_S) >= REATTACH_S
            if container.id not in self._together and due:
                again = container.id in self._attached_at
                self._attached_at[container.id] = now
                self._together.add(container.id, self._from_now_on(container, again))
        return True

    def _from_now_on(self, container: Container, again: bool) -> Iterator[LogLine]:
        """Lines that were not read before, until the container ends."""
        shown = self._read_until.get(container.id)
        first = container.id in self._first
        tail, since = None, self._wanted.since if first else None
        if shown is not None and shown > time.time() + CLOCK_SLACK_S:
            tail, since, shown = 0, None, None  # the clock was set back: by their times new lines would be old ones
        elif shown is not None:
            since = shown - OVERLAP_S
        elif first and self._wanted.tail == 0:  # nothing of what was: Docker knows best what that is, but only once
            tail, since = (None, self._began) if again else (0, None)
        try:
            log = self._engine.logs(container.id, tail=tail, since=since, follow=True, stop=self._together.over)
            for line in self._noted(container, log):
                matches = self._wanted.matches is None or self._wanted.matches(line.text)
                if line.at > (shown or 0.0) and matches:
                    yield line
        except NotFound:
            return  # removed at this moment


def event_line(event: ContainerEvent) -> LogLine:
    """What happened, as a line among those of the container."""
    return LogLine(event.container, event.at, EVENT, event.text)


def _with_events(lines: Iterator[LogLine], events: list[ContainerEvent], wanted: LogSelection) -> Iterator[LogLine]:
    """The events stand where they belong; with a number of lines only, none from before the first of them."""
    told = [event_line(e) for e in events if wanted.process in (None, e.process)]
    told = list(wanted.last(told))
    first = next(lines, None)
    if first is None:
        yield from told
        return
    cut = wanted.matches is None and wanted.since is None
    told = [line for line in told if not cut or line.at >= first.at]
    yield from heapq.merge(chain([first], lines), told, key=lambda line: line.at)
