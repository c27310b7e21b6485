"""Live containers run under their own address, and what nobody wants goes: per app, under the app's claim."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from gitship.config import Settings
from gitship.deploy.claims import Claims
from gitship.deploy.discrepancies import Action, Change, Discrepancy, discrepancies
from gitship.deploy.drain import Drainer, Limits
from gitship.deploy.lock import DESTROYING
from gitship.deploy.queue import DeployQueue
from gitship.deploy.start import Starter
from gitship.deploy.watch import Watcher
from gitship.engine import values
from gitship.engine.base import Engine
from gitship.engine.values import ContainerState
from gitship.errors import GitshipError, NotFound
from gitship.front.front import Front
from gitship.model import App, Container
from gitship.store import Store

log = logging.getLogger("gitship.reconcile")
ORPHAN_GRACE_S = 10.0
REPAIRED = 0  # the deploy id on containers made anew


class Repair:
    """Looks at one list of all containers first, which claims nothing; only where something is amiss it is sure."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        engine: Engine,
        front: Front,
        starter: Starter,
        drainer: Drainer,
        queue: DeployQueue,
        watcher: Watcher,
        claims: Claims,
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
        self._told: dict[str, str] = {}  # what keeps a container from being made again

    def settle(self, states: Iterable[ContainerState], failed: list[GitshipError]) -> list[Change]:
        """``states`` are containers of processes, of all apps; what was changed. Raises EngineError.

        To ``failed`` is added what could not be put right, which is logged, too.
        """
        changes: list[Change] = []
        of_app: dict[str, list[ContainerState]] = {}
        for state in states:
            of_app.setdefault(state.labels.get(values.LABEL_APP_ID, ""), []).append(state)
        for app in self._store.apps():  # after the list: an app that is only made now has nothing in it
            seen = of_app.pop(str(app.id), [])
            if self._amiss(app, seen):
                with self._claims.at_once(app.id) as mine:
                    if mine:  # else the next round: who has the claim may be doing it
                        changes += self._app(app.id, failed)
        for state in (state for left in of_app.values() for state in left):
            self._engine.remove(state.id)
            changes.append(Change("", Action.REMOVE, state.name, "its app is gone"))
        return changes

    def amiss(self, states: Iterable[ContainerState]) -> list[Change]:
        """What ``settle`` would do now."""
        all_states = list(states)
        changes: list[Change] = []
        apps = self._store.apps()
        for app in apps:
            own = [s for s in all_states if s.labels.get(values.LABEL_APP_ID) == str(app.id)]
            changes += [found.change for found in self._amiss(app, own)]
        known = {str(app.id) for app in apps}
        gone = [s for s in all_states if s.labels.get(values.LABEL_APP_ID) not in known]
        return changes + [Change("", Action.REMOVE, s.name, "its app is gone") for s in gone]

    def _amiss(self, app: App, actual: Iterable[ContainerState]) -> list[Discrepancy]:
        if self._store.setting(app.id, DESTROYING) is not None:
            return []
        deploying = self._queue.running(app.id) is not None  # before the store is read: see ``_spared``
        draining = self._drainer.draining()

        def spared(state: ContainerState) -> bool:
            return deploying or state.id in draining or self._owned(state)

        return discrepancies(app.name, self._store.containers(app.id), actual, spared)

    def _app(self, app_id: int, failed: list[GitshipError]) -> list[Change]:
        """Everything is read once more: it was seen without the claim."""
        try:
            app = self._store.app_by_id(app_id)
        except NotFound:
            return []
        labels = {values.LABEL_SERVER: self._starter.server_id, values.LABEL_APP_ID: str(app_id)}
        found = self._amiss(app, [s for s in self._engine.list(labels) if is_process(s)])
        changes: list[Change] = []
        repaired: dict[str, Container] = {}
        for one in found:
            if one.container is None:
                continue
            try:
                changes.append(self._mend(app, one, one.container, repaired))
                self._told.pop(one.container.id, None)
            except GitshipError as error:
                what = f"{app.name}: {one.container.name}: {error.message}"
                failed.append(GitshipError(what, error.hint))
                if self._told.get(one.container.id) != error.message:  # once: it is tried every other second
                    log.warning("%s%s", what, f" ({error.hint})" if error.hint else "")
                self._told[one.container.id] = error.message
        if repaired and app.live_release is not None:
            live = [repaired.get(c.id, c) for c in self._store.containers(app.id)]
            self._store.set_live(app.id, app.live_release, live)
            for container in repaired.values():
                self._watcher.restarted(container, "it was gone or had lost its address, and was made anew")
        orphans = [one.state for one in found if one.container is None and one.state is not None]
        if orphans:
            self._drain(app, orphans)
            changes += [one.change for one in found if one.container is None]
        return changes

    def _mend(self, app: App, one: Discrepancy, container: Container, repaired: dict[str, Container]) -> Change:
        release = self._store.release(container.release_id)
        if one.change.action is Action.START:
            try:
                self._starter.start_again(app, release, container)
                return one.change
            except GitshipError as error:  # its network may be gone, another may have its address
                log.warning("%s: %s; it is made anew", container.name, error.message)
        repaired[container.id] = self._starter.again(app, release, container, REPAIRED)
        return Change(app.name, Action.MAKE, container.name, one.change.why)

    def _owned(self, state: ContainerState) -> bool:
        """True while the deploy that made the container is under way."""
        try:
            deploy = self._store.deploy(int(state.labels.get(values.LABEL_DEPLOY, "0")))
        except (NotFound, ValueError):
            return False
        return not deploy.state.ended

    def _drain(self, app: App, orphans: list[ContainerState]) -> None:
        containers = [
            (Container(s.id, s.name, app.id, 0, s.labels.get(values.LABEL_PROCESS, ""), 0, "", None), ORPHAN_GRACE_S)
            for s in orphans
        ]
        vcls = self._front.unlabelled(app.slug)
        limits = Limits(self._settings.deploy.drain_timeout, self._settings.deploy.socket_drain_timeout)
        self._drainer.start(app, vcls, containers, limits, lambda cut: None)


def is_process(state: ContainerState) -> bool:
    """A container of an app's process, whoever owns it; one that somebody runs by hand has only inherited labels."""
    labels = state.labels
    return values.LABEL_PROCESS in labels and values.LABEL_ONE_OFF not in labels and values.LABEL_HELPER not in labels
