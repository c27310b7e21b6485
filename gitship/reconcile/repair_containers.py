"""Repairs an app's containers: restarts or recreates live ones, removes unwanted ones."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial

from gitship.appsettings import DESTROYING
from gitship.config import Settings
from gitship.containers.claims import Claims
from gitship.containers.container_starter import ContainerStarter
from gitship.containers.discrepancies import DOWN, Change, Discrepancy, RepairAction, discrepancies
from gitship.containers.restart_delays import Restarts
from gitship.deploy.queue import DeployQueue
from gitship.engine import types
from gitship.engine.interface import Engine
from gitship.engine.types import ContainerState
from gitship.errors import GitshipError, NotFound
from gitship.front.front import Front
from gitship.model import App, Container, Release
from gitship.ownership import Ownership, number_in
from gitship.per_app_errors import PerAppErrors
from gitship.reconcile.container_watcher import ContainerWatcher
from gitship.routing.drain import Drainer, DrainLimits
from gitship.store import Store

log = logging.getLogger("gitship.reconcile")
ORPHAN_GRACE_S = 10.0
REPAIRED = 0  # the deploy id on containers made anew


class ContainerRepair:
    """Looks at one list of all containers first, which claims nothing; only where something is amiss it is sure."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        engine: Engine,
        front: Front,
        starter: ContainerStarter,
        drainer: Drainer,
        queue: DeployQueue,
        watcher: ContainerWatcher,
        claims: Claims,
        restarts: Restarts,
        apart: PerAppErrors | None = None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._engine = engine
        self._front = front
        self._starter = starter
        self._drainer = drainer
        self._queue = queue
        self._watcher = watcher
        self._claims = claims
        self._restarts = restarts
        self._left: set[str] = set()  # containers that Docker leaves to gitship
        self._apart = apart or PerAppErrors()
        self._ownership = Ownership(store)

    def settle(self, states: Iterable[ContainerState], failed: list[GitshipError]) -> list[Change]:
        """``states`` are all containers; of what was changed among those of processes.

        To ``failed`` is added what could not be put right, which is logged, too.
        """
        states = list(states)
        self._take_over(states, failed)
        changes: list[Change] = []
        of_app = self._ownership.processes(states)
        for app in self._store.apps():  # after the list: an app that is only made now has nothing in it
            seen = of_app.pop(app.id, [])
            with self._apart.part(app.name, "its containers", failed):
                if amiss := self._amiss(app, seen):
                    with self._claims.at_once(app.id) as mine:
                        if mine:  # else the next round: who has the claim may be doing it
                            changes += self._app(app.id, failed)
                        else:  # it may last: a crash has no patience, and Docker does not wait either
                            restarts = [one for one in amiss if self._restart(one)]
                            changes += self._mended(app, restarts, failed, partial(self._restarted, app))
        for state in (state for left in of_app.values() for state in left):
            with self._apart.part("", f"container {state.name} of a deleted app", failed):
                self._engine.remove(state.id)
                changes.append(Change("", RepairAction.REMOVE, state.name, "its app is gone"))
        return changes

    def next_s(self) -> float:
        """Seconds until a container that has ended may be started again; inf when none waits for that."""
        return self._restarts.next_s()

    def amiss(self, states: Iterable[ContainerState]) -> list[Change]:
        """What ``settle`` would do now."""
        changes: list[Change] = []
        of_app = self._ownership.processes(states)
        for app in self._store.apps():
            changes += [found.change for found in self._amiss(app, of_app.pop(app.id, []))]
        gone = [state for left in of_app.values() for state in left]
        return changes + [Change("", RepairAction.REMOVE, s.name, "its app is gone") for s in gone]

    def _amiss(self, app: App, actual: Iterable[ContainerState]) -> list[Discrepancy]:
        if self._store.setting(app.id, DESTROYING) is not None:
            return []
        deploying = self._queue.running(app.id) is not None  # before the store is read: see ``spared``
        draining = self._drainer.draining()

        def spared(state: ContainerState) -> bool:
            return deploying or state.id in draining or self._owned(app, state)

        found = discrepancies(app.name, self._store.containers(app.id), actual, spared)
        return [one for one in found if not (self._restart(one) and one.state and not self._restarts.due(one.state.id))]

    def _take_over(self, states: Iterable[ContainerState], failed: list[GitshipError]) -> None:
        """What an earlier gitship has left to Docker is gitship's to start again from now on, where it has to look."""
        live = self._store.containers()
        for container in live:
            with self._apart.part("", f"{container.name}: that Docker does not restart it", failed):
                if container.id not in self._left and self._attends(container):
                    self._engine.leave_down(container.id)
                    self._left.add(container.id)
        ids = {container.id for container in live}
        self._left &= ids
        self._restarts.look(ids, {state.id for state in states if state.status in DOWN})

    def _attends(self, container: Container) -> bool:
        try:
            return self._restarts.attends(container)
        except NotFound:  # its app is being destroyed
            return False

    def _restart(self, one: Discrepancy) -> bool:
        """True when it is what Docker does for other containers."""
        return one.change.action is RepairAction.START and one.container is not None and self._attends(one.container)

    def _app(self, app_id: int, failed: list[GitshipError]) -> list[Change]:
        """Everything is read once more: it was seen without the claim."""
        try:
            app = self._store.app_by_id(app_id)
        except NotFound:
            return []
        labels = {types.LABEL_SERVER: self._starter.server_id, types.LABEL_APP_ID: str(app_id)}
        found = self._amiss(app, self._ownership.processes(self._engine.list(labels)).get(app.id, []))
        repaired: dict[str, Container] = {}
        changes = self._mended(app, found, failed, lambda one, container: self._mend(app, one, container, repaired))
        if repaired and app.live_release is not None:
            live = [repaired.get(c.id, c) for c in self._store.containers(app.id)]
            self._store.set_live(app.id, app.live_release, live)
            for container in repaired.values():
                self._watcher.restarted(container, "it was missing or had lost its address, and was recreated")
        orphans = [one.state for one in found if one.container is None and one.state is not None]
        if orphans:
            self._drain(app, orphans)
            changes += [one.change for one in found if one.container is None]
        return changes

    def _mended(
        self,
        app: App,
        found: Iterable[Discrepancy],
        failed: list[GitshipError],
        mend: Callable[[Discrepancy, Container], Change],
    ) -> list[Change]:
        """One container after the other, whatever becomes of those before it."""
        changes = []
        for one in found:
            if one.container is None:
                continue
            with self._apart.part(app.name, one.container.name, failed):
                changes.append(mend(one, one.container))
        return changes

    def _mend(self, app: App, one: Discrepancy, container: Container, repaired: dict[str, Container]) -> Change:
        release = self._store.release(container.release_id)
        if one.change.action is RepairAction.START:
            self._ensure_directories(container)  # to make it anew would need them, too
            try:
                return self._again(app, release, container, one.change)
            except GitshipError as error:  # its network may be gone, another may have its address
                log.warning("%s: %s; it is made anew", container.name, error.message)
        repaired[container.id] = self._starter.again(app, release, container, REPAIRED)
        return Change(app.name, RepairAction.MAKE, container.name, one.change.why)

    def _again(self, app: App, release: Release, container: Container, change: Change) -> Change:
        self._starter.start_again(app, release, container)
        self._restarts.started(container.id)
        return change

    def _restarted(self, app: App, one: Discrepancy, container: Container) -> Change:
        self._ensure_directories(container)
        return self._again(app, self._store.release(container.release_id), container, one.change)

    def _ensure_directories(self, container: Container) -> None:
        """Those of the host that it has are what they were. Raises GitshipError."""
        self._restarts.put_off(container.id)
        process = self._store.release(container.release_id).process(container.process)
        for mount in process.host_mounts if process else ():
            self._engine.volumes.ensure_usable(mount, process.mounts if process else ())

    def _owned(self, app: App, state: ContainerState) -> bool:
        """True while the deploy that made the container is under way."""
        try:
            deploy = self._store.deploy(number_in(state.labels.get(types.LABEL_DEPLOY)) or 0)
        except NotFound:
            return False
        return deploy.app_id == app.id and not deploy.state.ended

    def _drain(self, app: App, orphans: list[ContainerState]) -> None:
        containers = [
            (Container(s.id, s.name, app.id, 0, s.labels.get(types.LABEL_PROCESS, ""), 0, "", None), ORPHAN_GRACE_S)
            for s in orphans
        ]
        vcls = self._front.unlabelled(app.slug)
        limits = DrainLimits(self._settings.deploy.drain_timeout, self._settings.deploy.socket_drain_timeout)
        self._drainer.start(app, vcls, containers, limits, lambda cut: None)
