"""One-off containers: one per command, always removed at its end.

An attached one lives as long as its client. A detached one lives in Docker, not in gitship: a restart of gitship takes
it up again, and its output is read anew from Docker's own log. Which ones there are the store says: each has its
address from before it is made until it is removed, and a cron run has its container's name.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from gitship.appfiles import overrides
from gitship.containers import capabilities
from gitship.containers.attach_client import AttachedClient, ClientLeft, attend
from gitship.containers.claims import Claims
from gitship.containers.discrepancies import Change, RepairAction
from gitship.engine import types
from gitship.engine.addresses import Addresses
from gitship.engine.interface import Engine
from gitship.engine.timeouts import TimeoutExpired, WaitInterrupted
from gitship.engine.types import ContainerState
from gitship.errors import Conflict, EngineError, GitshipError, NotFound
from gitship.logs import directories, runs
from gitship.model import App, Identity, Release
from gitship.oneoff import spec
from gitship.oneoff.enter import enter, not_run, tell
from gitship.oneoff.programs import MOST_PER_APP, TIMED_OUT, OneOff, ProgramCommand
from gitship.oneoff.spec import ContainerEnding, Task
from gitship.ownership import Ownership, sealed
from gitship.per_app_errors import PerAppErrors
from gitship.store import Store

log = logging.getLogger("gitship.oneoffs")

LEFT_GRACE_S = 2.0  # between SIGTERM and SIGKILL when the client has gone or time is up
STOP_GRACE_S = 10.0
CLOSE_S = 8.0


class OneOffs:
    """Safe from any thread. What is in ``_active`` has a thread that will remove it; ``settle`` sees to all others."""

    def __init__(
        self, store: Store, engine: Engine, addresses: Addresses, claims: Claims, logs: Path, server_id: str,
        apart: PerAppErrors | None = None,
    ) -> None:  # fmt: skip
        self._store = store
        self._engine = engine
        self._addresses = addresses
        self._claims = claims
        self._logs = logs
        self._server_id = server_id
        self._apart = apart or PerAppErrors()
        self._ownership = Ownership(store)
        self._lock = threading.Lock()
        self._active: dict[str, threading.Event] = {}  # by container name; set to end the watch of a detached one
        self._last: dict[int, int] = {}  # app id -> the highest number given: a name is not used again
        self._stopped: set[str] = set()  # names of those that somebody has ended
        self._closing = False
        self._told: Callable[[int, ContainerEnding], None] = lambda run_id, ending: None

    def tell_ends(self, told: Callable[[int, ContainerEnding], None]) -> None:
        """``told`` gets the end of each cron run by its id, before its container is removed; once at least."""
        self._told = told

    def close(self) -> None:
        """Waits for attached ones, whose clients have gone, to be removed; detached ones run on without gitship."""
        self._closing = True
        with self._lock:
            for event in self._active.values():
                event.set()
        deadline = time.monotonic() + CLOSE_S
        while self._active and time.monotonic() < deadline:
            time.sleep(0.05)

    # -- running

    def run(self, app: App, command: ProgramCommand, client: AttachedClient, by: Identity) -> int:
        found, release = self._live(app, by)
        name = self._claim(found, release)
        container_id = ""
        try:
            container_id = self._create(found, release, name, command, by, client)
            program = self._engine.attach(
                container_id, terminal=client.pty is not None, gone=client.closed,
                timeout_s=command.timeout_s or math.inf,
            )  # fmt: skip
            try:
                return attend(program, client, lambda: self._engine.start(container_id))
            finally:
                program.close()
        except EngineError as error:
            return not_run(error, client)
        except (ClientLeft, WaitInterrupted, TimeoutExpired) as ended:
            self._engine.stop(container_id, LEFT_GRACE_S)
            if isinstance(ended, TimeoutExpired):
                tell(client, f"gitship: ended after {command.timeout_s:g} s")
                return TIMED_OUT
            raise ClientLeft from None
        finally:
            self._remove(found, name, container_id)

    def run_detached(self, app: App, command: ProgramCommand, by: Identity) -> str:
        found, release = self._live(app, by)
        return self._detach(found, release, self._claim(found, release), command, by)

    def run_task(
        self, app: App, release: Release, task: Task, name: str, command: ProgramCommand, by: Identity
    ) -> None:
        """Starts a cron run as a detached one-off of that name; its end is told (``tell_ends``)."""
        self._detach(app, release, self._claim(app, release, name), command, by, task)

    def _detach(
        self, app: App, release: Release, name: str, command: ProgramCommand, by: Identity, task: Task | None = None
    ) -> str:
        container_id = ""
        try:
            container_id = self._create(app, release, name, command, by, None)
            self._engine.start(container_id)
        except BaseException:
            self._remove(app, name, container_id)
            raise
        self._watch(app, name, container_id, command.timeout_s or math.inf, task)
        return name

    def _live(self, app: App, by: Identity) -> tuple[App, Release]:
        now = self._store.confirm_live(app, by)
        return now, self._store.release(now.live_release or 0)

    def _claim(self, app: App, release: Release, wanted: str = "") -> str:
        """A new name (or ``wanted``), which ``settle`` leaves alone until ``_remove``. Raises Conflict at the limit."""
        there = {s.name for s in self._states(app)}
        prefix = f"{app.name}.{spec.PROCESS}."
        foreign = {s.name for s in self._engine.list({}) if s.name.startswith(prefix)}  # of an earlier installation
        past = runs.names(self._directory(app)).values()
        with self._lock:
            own = {n for n in self._active if n.startswith(prefix)}
            if len(there | own) >= MOST_PER_APP:
                raise Conflict(
                    f"{app.name} already has {MOST_PER_APP} one-off containers",
                    f"wait for one to end, or stop one: `run:list {app.name}`, `run:stop {app.name} NAME`",
                )
            if wanted:
                self._active[wanted] = threading.Event()
                return wanted
            taken = [spec.number_of(n) for n in there | own | foreign]
            number = 1 + max([*taken, *past, self._last.get(app.id, 0)], default=0)
            self._last[app.id] = number
            name = f"{app.name}.{spec.PROCESS}.{number}.{release.label}"
            self._active[name] = threading.Event()
        return name

    def _create(
        self,
        app: App,
        release: Release,
        name: str,
        command: ProgramCommand,
        by: Identity,
        client: AttachedClient | None,
    ) -> str:
        with self._claims.joined(app):
            self._store.confirm(app, by)  # nobody destroys it from here on
            settings = self._store.app_settings(app.id)
            release = capabilities.live(app.name, release, settings)
            network, address = self._addresses.network(app), self._addresses.take(app, name)
            limits = overrides.limits_of_one_offs(overrides.parse(settings))
            linked = self._store.linked_environment(app.id)
            return self._engine.create(
                spec.made_of(app, release, name, command, network, address, self._server_id, by, client, limits, linked)
            )

    def _remove(self, app: App, name: str, container_id: str) -> None:
        """When Docker is down now, ``settle`` will do it: the name is free for that in any case."""
        try:
            if container_id:
                self._engine.remove(container_id)
            self._addresses.release(app, name)
        except GitshipError as error:
            log.warning("%s: %s", name, error.message)
        finally:
            with self._lock:
                self._active.pop(name, None)

    # -- detached ones

    def _watch(self, app: App, name: str, container_id: str, left_s: float, task: Task | None) -> None:
        threading.Thread(
            target=self._until_end, args=(app, name, container_id, left_s, task), name=f"watch-{name}", daemon=True
        ).start()

    def _until_end(self, app: App, name: str, container_id: str, left_s: float, task: Task | None) -> None:
        stop = self._active[name]
        timer = threading.Timer(min(left_s, threading.TIMEOUT_MAX), stop.set)
        timer.name, timer.daemon = f"limit-{name}", True
        timer.start()
        directory = self._directory(app)
        done = False
        try:
            lines = (line.text for line in self._engine.logs(container_id, follow=True, stop=stop))
            if task is None:
                runs.write(directory, name, lines)
            else:
                runs.write(runs.cron_directory(directory, task.entry), name, lines, runs.MOST_CRON_BYTES)
            if self._closing:
                return  # it runs on, and the next gitship takes it up
            late = stop.is_set()
            self._engine.stop(container_id, LEFT_GRACE_S if late else STOP_GRACE_S)
            state = self._engine.inspect(container_id)
            if task is not None:
                self._told(task.run_id, ContainerEnding(state.exit_code, late, state.oom_killed, name in self._stopped))
            else:
                said = f"[{'ended at its time limit, ' if late else ''}exit code {state.exit_code}]"
                runs.append(directory, name, said)
            done = True
        except NotFound:
            done = True  # somebody has removed it
            if task is not None:
                self._told(task.run_id, ContainerEnding(None))
        except GitshipError as error:
            log.warning("%s: %s", name, error.message)  # `settle` takes it up again
        except Exception:
            log.exception("watching %s", name)
        finally:
            timer.cancel()
            if done:
                self._remove(app, name, container_id)
            with self._lock:
                self._active.pop(name, None)

    def amiss(self, states: list[ContainerState]) -> list[Change]:
        """What ``settle`` would remove now."""
        return [
            _removed(app, state, why) for app, state in self._unwatched(states) if (why := self._end_of(state, app))
        ]

    def settle(self, states: list[ContainerState], failed: list[GitshipError] | None = None) -> list[Change]:
        """Of the one-offs among ``states``: removes those whose client has gone, takes up those that nobody watches.

        To ``failed`` is added what went wrong, an app's at a time.
        """
        changes: list[Change] = []
        for app, state in self._unwatched(states):
            with self._apart.part(app.name if app else "", f"one-off container {state.name}", failed):
                changes += self._settle(app, state)
        return changes

    def _unwatched(self, states: list[ContainerState]) -> list[tuple[App | None, ContainerState]]:
        """With their apps; None of one that is gone."""
        apps = {app.id: app for app in self._store.apps()}
        found = self._ownership.one_offs(states).items()
        return [(apps.get(app_id), state) for app_id, own in found for state in own if not self._watched(state)]

    def _settle(self, app: App | None, state: ContainerState) -> list[Change]:
        why = self._end_of(state, app)
        if app is None or why:
            self._engine.remove(state.id)
            if app is not None:
                self._addresses.release(app, state.name)
            return [_removed(app, state, why)]
        run = self._store.cron_run_in(app.id, state.name)
        with self._lock:
            self._active[state.name] = threading.Event()
        self._watch(app, state.name, state.id, spec.left_s(state), Task(run.entry, run.id) if run else None)
        return []

    def _watched(self, state: ContainerState) -> bool:
        with self._lock:
            return self._closing or state.name in self._active

    def _end_of(self, state: ContainerState, app: App | None) -> str:
        """Why it is to be removed; "" when it goes on."""
        if app is None:
            return "its app is gone"
        if state.name not in self._store.addresses(app.id):
            return "the store does not know it"
        return "" if self._is_detached(state) and state.status != "created" else "its client is gone"

    def _is_detached(self, state: ContainerState) -> bool:
        if sealed(state):
            return state.labels.get(types.LABEL_ONE_OFF) == spec.DETACHED
        return self._has_log(state)  # made by a gitship from before the seals; Docker keeps no log of an attached one

    def _has_log(self, state: ContainerState) -> bool:
        try:
            next(iter(self._engine.logs(state.id, tail=0)), None)
        except EngineError:
            return False
        return True

    # -- looking and ending

    def is_there(self, name: str) -> bool:
        """True while its container is watched, or at least exists."""
        with self._lock:
            if name in self._active:
                return True
        try:
            return bool(self._ownership.one_offs([self._engine.inspect(name)]))
        except NotFound:
            return False

    def one_offs(self, app: App) -> list[OneOff]:
        return sorted(map(spec.shown, self._states(app)), key=lambda one: one.started_at)

    def stop(self, app: App, name: str, by: Identity) -> str:
        states = {state.name: state for state in self._states(self._store.confirm(app, by))}
        full = spec.chosen(name, list(states))
        if full is None:
            raise spec.no_run(app.name, name, list(states), f"see `run:list {app.name}`")
        with self._lock:
            self._stopped = {full, *(n for n in self._stopped if n in self._active)}
        self._engine.stop(states[full].id, STOP_GRACE_S)
        return full

    def output(self, app: App, name: str) -> Iterator[str]:
        directory = self._directory(self._store.app_by_id(app.id))
        known = list(runs.names(directory))
        full = spec.chosen(name, known)
        if full is None:
            raise spec.no_run(app.name, name, known, "only detached one-offs have a log: `run APP --detach`")
        return runs.read(directory, full)

    def _directory(self, app: App) -> Path:
        return directories.directory(self._logs, app.id)

    def _states(self, app: App) -> list[ContainerState]:
        labels = {types.LABEL_SERVER: self._server_id, types.LABEL_APP_ID: str(app.id)}
        return self._ownership.one_offs(self._engine.list(labels)).get(app.id, [])

    def enter(
        self,
        app: App,
        process: str | None,
        number: int | None,
        command: ProgramCommand,
        client: AttachedClient,
        by: Identity,
    ) -> int:
        found, _ = self._live(app, by)
        return enter(self._engine, found, self._store.containers(found.id), process, number, command, client)


def _removed(app: App | None, state: ContainerState, why: str) -> Change:
    return Change(app.name if app else state.labels.get(types.LABEL_APP, ""), RepairAction.REMOVE, state.name, why)
