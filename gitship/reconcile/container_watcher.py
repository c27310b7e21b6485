"""Watches live containers for crashes, out of memory, restarts and failing HEALTHCHECKs.

Docker tells it as events; each is stored once and published. What came while gitship or Docker was down is told as far
as Docker remembers: its last 256 events, and how often it has restarted a container.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable

from gitship.containers import crash_loops
from gitship.engine import types
from gitship.engine.interface import Engine
from gitship.engine.types import ContainerState, EngineEvent
from gitship.errors import GitshipError, NotFound
from gitship.events import Bus, Event
from gitship.model import Container, ContainerEvent, ContainerEventKind
from gitship.per_app_errors import PerAppErrors
from gitship.reconcile.container_exits import ContainerExit, ContainerExits
from gitship.reconcile.outages import Outages
from gitship.store import Store

log = logging.getLogger("gitship.watch")
RETRY_S = 1.0
STOP_S = 5.0
LOOK_BACK_S = 120.0  # before what was seen already, to know how those stand that start now: Docker waits up to 60 s
SAVE_EVERY_S = 60.0
CLOCK_SLACK_S = 1.0
OOM_DIES_WITHIN_S = 5.0  # the container after the kernel's kill: 20 ms as a rule
OOM_AT_ONCE_S = 0.2
KILLED = 128 + signal.SIGKILL


class ContainerWatcher:
    """Owns the thread ``docker-events``, which has a connection of its own."""

    def __init__(self, store: Store, bus: Bus, engine: Engine, outages: Outages) -> None:
        self._outages = outages
        self._wake: Callable[..., None] = lambda *, whole: None
        self._store = store
        self._bus = bus
        self._engine = engine
        self._labels = {types.LABEL_SERVER: store.server_id()}
        self._apart = PerAppErrors()
        self._lives = ContainerExits()
        self._until = store.events_seen_until() or time.time()
        self._saved_at = 0.0  # monotonic seconds
        self._down = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="docker-events", daemon=True)

    def on_change(self, wake: Callable[..., None]) -> None:
        """``wake(whole=...)`` is called when something happened to a live container, and when Docker has come back."""
        self._wake = wake

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(STOP_S)
            if not self._thread.is_alive():
                self._save()

    def restarted(self, container: Container, why: str) -> None:
        """gitship itself had to put a live container in its place again."""
        self._record(container, time.time(), ContainerEventKind.RESTARTED, why)

    # -- listening

    def _loop(self) -> None:
        while not self._stop.is_set():
            try:
                self._listen()
            except GitshipError as error:
                if not self._down:
                    log.warning("no events of containers: %s", error.message)
                self._down = True
            except Exception:
                log.exception("watching containers")
            self._stop.wait(RETRY_S)

    def _listen(self) -> None:
        """Until the connection ends. What Docker tells again is only taken in to know how things stand."""
        looked = self._look()  # first: a crash that comes after it is told by an event
        known, now = self._until, time.time()
        for event in self._engine.events(self._labels, since=min(known, now) - LOOK_BACK_S, until=now, stop=self._stop):
            self._take(event, told_before=event.at <= known)
        if self._down:
            log.warning("Docker tells its events again")
            self._wake(whole=True)
        self._down = False
        self._tell_missed(looked)
        known = max(self._until, now)
        for event in self._engine.events(self._labels, since=now, stop=self._stop):
            # later than now: from before the clock was set back; else what comes then would be hidden for as long
            self._take(event, told_before=time.time() + CLOCK_SLACK_S < event.at <= known)
        # A Docker that is shut down in order ends the stream in order. It may be back before anybody meets an error,
        # and what its restart did to containers and networks is in no event.
        if not self._stop.is_set():
            log.warning("no events of containers: Docker is being shut down")
            self._down = True

    def _take(self, event: EngineEvent, *, told_before: bool) -> None:
        ended = self._lives.take(event)
        self._until = max(self._until, event.at)
        if not told_before:
            with self._apart.part("", f"event {event.action} of container {event.container_id[:12]}"):
                self._tell(event, ended)
        if time.monotonic() - self._saved_at >= SAVE_EVERY_S:  # after it was told: a kill -9 must not lose it
            self._save()

    def _tell(self, event: EngineEvent, ended: ContainerExit) -> None:
        container = next((c for c in self._store.containers() if c.id == event.container_id), None)
        if container is None:
            return
        if event.action == "die":
            self._outages.ended(container)
        self._wake(whole=False)
        if event.action == "oom":
            self._out_of_memory(container, event.at)
        elif event.action == "die" and ended is ContainerExit.BY_ITSELF:
            self._crashed(container, event)
        elif event.action == "start" and (
            ended is ContainerExit.FROM_OUTSIDE or (ended is ContainerExit.UNSEEN and self._has_ended(container))
        ):
            why = "it was stopped, or Docker was restarted; it is running again"
            self._record(container, event.at, ContainerEventKind.RESTARTED, why)
        elif event.action == "health_status" and event.health == "unhealthy":
            self._record(container, event.at, ContainerEventKind.UNHEALTHY, "the image's HEALTHCHECK fails")

    def _save(self) -> None:
        self._saved_at = time.monotonic()
        self._store.set_events_seen_until(self._until)

    # -- what it means

    def _has_ended(self, container: Container) -> bool:
        """False in its first life, whose beginning Docker tells after it has forgotten that it was made."""
        try:
            return self._engine.inspect(container.id).finished_at is not None
        except NotFound:
            return False

    def _out_of_memory(self, container: Container, at: float) -> None:
        if self._open_oom(container, at - OOM_AT_ONCE_S):
            return  # the kernel took several processes at once
        process = self._store.release(container.release_id).process(container.process)
        limit = process.memory_bytes if process else None
        known = [f"limit {limit >> 20} MB"] if limit else []
        peak = self._peak(container)
        known += [f"peak {peak >> 20} MB"] if peak else []
        detail = f"out of memory ({', '.join(known)})" if known else "out of memory"
        self._record(container, at, ContainerEventKind.OOM, detail)

    def _peak(self, container: Container) -> int | None:
        """The most memory it had; None when it has ended already, with its control group."""
        try:
            usage = self._engine.usage(container.id)
        except GitshipError:
            return None
        return usage.peak_bytes if usage else None

    def _crashed(self, container: Container, event: EngineEvent) -> None:
        code, deaths = event.exit_code or 0, self._deaths(container) + 1
        oom = self._open_oom(container, event.at - OOM_DIES_WITHIN_S) if code == KILLED else None
        if oom is None:
            self._record(container, event.at, ContainerEventKind.CRASHED, exit_cause(code), code, deaths)
        else:
            with self._store.transaction():  # one death, told once
                self._store.end_of_container_event(oom, code, deaths)
                self._save()
        self._tell_loop(container, event.at)

    def _tell_loop(self, container: Container, at: float) -> None:
        """A loop is told once, until there was peace."""
        found = crash_loops.told_now(self._store.events_of_container(container.id), at)
        if found:
            self._record(container, at, ContainerEventKind.CRASH_LOOP, found)

    def _tell_missed(self, looked: list[tuple[Container, ContainerState]]) -> None:
        """Crashes that Docker's memory of events does not reach back to."""
        for container, state in looked:
            with self._apart.part("", f"crashes of {container.name} that nobody saw"):
                missed = state.restarts - self._deaths(container)
                if missed > 0:
                    detail = f"{missed} {'time' if missed == 1 else 'times'} while gitship was not watching"
                    at = state.started_at or time.time()
                    self._record(container, at, ContainerEventKind.CRASHED, detail, None, state.restarts)

    def _look(self) -> list[tuple[Container, ContainerState]]:
        found = []
        for container in self._store.containers():
            try:
                found.append((container, self._engine.inspect(container.id)))
            except NotFound:
                continue  # the reconciler makes it anew
        return found

    def _open_oom(self, container: Container, since: float) -> ContainerEvent | None:
        """The newest event of the container if it is an OOM not before ``since`` that has not ended it (yet)."""
        for last in self._store.events_of_container(container.id)[-1:]:
            if last.kind is ContainerEventKind.OOM and last.exit_code is None and last.at >= since:
                return last
        return None

    def _deaths(self, container: Container) -> int:
        return max((event.deaths for event in self._store.events_of_container(container.id)), default=0)

    def _record(
        self,
        container: Container,
        at: float,
        kind: ContainerEventKind,
        detail: str,
        code: int | None = None,
        deaths: int = 0,
    ) -> None:
        try:
            app = self._store.app_by_id(container.app_id)
            release = self._store.release(container.release_id).number
        except NotFound:
            return  # it is being destroyed
        event = ContainerEvent(
            app.id, container.id, container.name, container.process, release, at, kind, code, detail, deaths
        )
        with self._store.transaction():  # a kill -9 in between would make it be told twice, or never
            added = self._store.add_container_event(event)
            self._save()
        if added:
            log.warning("%s: %s", container.name, event.text)
            self._bus.publish(
                Event(f"container.{kind}", app.name, text=event.text, at=at, happening=event, app_id=app.id)
            )


def exit_cause(code: int) -> str:
    """``exit code 3``, and of a signal its name."""
    if code > 128:
        try:
            return f"exit code {code} ({signal.Signals(code - 128).name})"
        except ValueError:
            pass
    return f"exit code {code}"
