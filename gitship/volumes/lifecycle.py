"""Lifecycle of the Docker volumes of apps: created, claimed for one change at a time, removed.

Data goes in three cases only: an app was destroyed, a volume was destroyed by name, or another content was restored in
its place. For the latter two, and for a volume that is just being filled, it is written down under
``DISCARDED`` before anything is done; so a gitship that is killed leaves nothing that the next one does not
know of, and nothing is removed by a guess.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from gitship.appsettings import DISCARDED, STOPPED, VOLUME
from gitship.containers.discrepancies import Change, RepairAction
from gitship.engine import types
from gitship.engine.interface import Engine
from gitship.engine.types import ContainerState
from gitship.errors import Conflict, GitshipError, NotFound, nearest
from gitship.model import App, DeployState
from gitship.model.backups import BackupSubject, SubjectKind
from gitship.ownership import helpers, number_in
from gitship.per_app_errors import PerAppErrors
from gitship.store import Store
from gitship.volumes import volume_names

log = logging.getLogger("gitship.volumes")


class VolumeLifecycle:
    """Safe from any thread."""

    def __init__(self, store: Store, engine: Engine, server_id: str, apart: PerAppErrors | None = None) -> None:
        self._apart = apart or PerAppErrors()
        self._store = store
        self._engine = engine
        self._server_id = server_id
        self._lock = threading.Lock()
        self._filling: set[str] = set()
        self._claims: dict[tuple[int, str], int] = {}  # (app, volume) -> the deploy that brings it; 0: none yet
        self._moving: dict[int, int] = {}  # app -> how many exports and imports are under way
        self._looked_for_orphans = False

    # -- names

    def of(self, app: App) -> dict[str, str]:
        """What Docker calls the app's volumes, by name."""
        return self._store.app_settings(app.id).all(VOLUME)

    def named(self, app: App, name: str) -> str:
        """What Docker calls it. Raises NotFound with the nearest name."""
        known = self.of(app)
        if name not in known:
            near = nearest(name, known)
            hint = f"did you mean '{near}'?" if near else f"see `storage:list {app.name}`"
            raise NotFound(f"{app.name} has no volume '{name[:80]}'", hint)
        return known[name]

    def labels(self, app: App, name: str) -> dict[str, str]:
        return volume_names.labels(self._server_id, app, name)

    # -- making

    def ensure(self, app: App, name: str) -> None:
        """The volume of that name, made when it is not there. Raises EngineError."""
        if name in self.of(app):
            return
        with self.filling(app, name) as made, self._store.transaction():
            if name not in self.of(app):  # somebody else was faster otherwise, and this one goes
                self._store.change_settings(app.id, VOLUME(name).to(made) | DISCARDED(made).to(None))

    @contextmanager
    def filling(self, app: App, name: str) -> Iterator[str]:
        """A new empty volume, by Docker's name: gone afterwards unless the block, or a deploy it queues, keeps it."""
        made = volume_names.fresh(self._server_id, app, name)
        with self._lock:
            self._filling.add(made)
        try:
            self._store.set_setting(app.id, DISCARDED(made), time.time())
            self._engine.volumes.make(made, self.labels(app, name))
            yield made
        finally:
            with self._lock:
                self._filling.discard(made)
            self.clear(app)

    # -- one at a time

    @contextmanager
    def moving(self, app: App) -> Iterator[None]:
        """While an archive comes or goes, or a backup; ``ensure_still`` waits for nobody, it refuses."""
        with self._lock:
            self._moving[app.id] = self._moving.get(app.id, 0) + 1
        try:
            yield
        finally:
            with self._lock:
                self._moving[app.id] -= 1

    def ensure_still(self, app: App) -> None:
        """Raises Conflict while a volume of the app is exported or imported."""
        with self._lock:
            moving = self._moving.get(app.id, 0)
        if moving:
            raise Conflict(
                f"a volume of {app.name} is being exported, imported or backed up", "wait for it, or stop it there"
            )

    @contextmanager
    def claim(self, app: App, name: str) -> Iterator[None]:
        """Only one at a time changes a volume's content, until the deploy that brings it has ended. Raises Conflict."""
        key = (app.id, name)
        with self._lock:
            deploy_id = self._claims.get(key)
            if deploy_id is not None and (deploy_id == 0 or not self._brought(app, deploy_id)):
                raise Conflict(f"an import into '{name}' of {app.name} is in progress", "wait for it to finish")
            self._claims[key] = 0
        try:
            yield
        finally:
            with self._lock:
                if self._claims.get(key) == 0:
                    del self._claims[key]

    def _brought(self, app: App, deploy_id: int) -> bool:
        """True when the deploy, or the newer one that took its changes over, has come to something."""
        state = self._store.deploy(deploy_id).state
        if state is DeployState.SUPERSEDED:
            return not self.deploying(app)
        return state.ended or state.switched

    def deploying(self, app: App) -> bool:
        """As the store's."""
        return self._store.deploying(app.id)

    def claimed_by(self, app: App, name: str, deploy_id: int) -> None:
        """The claim ends with that deploy."""
        with self._lock:
            self._claims[app.id, name] = deploy_id

    # -- removing

    def discard(self, app: App, name: str) -> None:
        """The app has this volume no more; its data go with the next ``clear``."""
        with self._store.transaction():
            gone = self.named(app, name)
            self._store.end_backup_schedules(BackupSubject(SubjectKind.VOLUME, app.id, name))
            self._store.change_settings(app.id, DISCARDED(gone).to(time.time()) | VOLUME(name).to(None))

    def remove_all(self, app: App) -> None:
        """The data of an app that is being destroyed, when its containers are gone. Raises Conflict or EngineError."""
        for name in self._engine.volumes.find(self._owned_by(app.id)):
            if not name.startswith(volume_names.prefix(self._server_id, app.id)):
                continue  # a stranger's, whatever its labels say
            if not self._engine.volumes.remove(name):
                raise Conflict(
                    f"volume {name} of {app.name} is in use", "stop the container that uses it, and try again"
                )

    def amiss(self, states: list[ContainerState]) -> list[Change]:
        """What ``settle`` would remove now, volumes of apps that are gone apart."""
        changes = [_idle(state) for state in self._idle(states)]
        for app in self._store.apps():
            changes += [_discarded(app, name) for name in self._clearable(app)]
        return changes

    def settle(self, states: list[ContainerState], failed: list[GitshipError] | None = None) -> list[Change]:
        """Removes what an earlier gitship left behind, of all containers and volumes, and what nobody needs any more.

        To ``failed`` is added what went wrong.
        """
        changes = []
        for state in self._idle(states):
            with self._apart.part("", f"container {state.name}", failed):
                self._engine.remove(state.id)
                changes.append(_idle(state))
        for app in self._store.apps():
            with self._apart.part(app.name, "its discarded volumes", failed):
                changes += self.clear(app)
        if not self._looked_for_orphans:
            with self._apart.part("", "volumes of apps that are gone", failed):
                changes += self._remove_orphans()
                self._looked_for_orphans = True
        return changes

    def _idle(self, states: list[ContainerState]) -> list[ContainerState]:
        busy = self._engine.volumes.helpers()
        return [state for state in helpers(states) if state.name not in busy]

    def clear(self, app: App) -> list[Change]:
        """Removes the discarded volumes that nothing can need any more; those in use, another time. Never raises."""
        try:
            return self._clear(app)
        except GitshipError as error:
            log.warning("%s: %s; the reconciler will try again", app.name, error.message)
            return []

    def _clear(self, app: App) -> list[Change]:
        changes = []
        for name in self._clearable(app):
            if self._engine.volumes.remove(name):
                self._store.set_setting(app.id, DISCARDED(name), None)
                changes.append(_discarded(app, name))
        return changes

    def _clearable(self, app: App) -> set[str]:
        settings = self._store.app_settings(app.id)
        discarded = settings.all(DISCARDED)
        if not discarded or any(d.app_id == app.id for d in self._store.unfinished_deploys()):
            return set()
        with self._lock:
            needed = self._filling | set(settings.all(VOLUME).values()) | self._live(app)
        return discarded.keys() - needed

    def _live(self, app: App) -> set[str]:
        """What the live release mounts, unless it is stopped: then its next start makes a release of its own."""
        now = self._store.app_by_id(app.id)
        if now.live_release is None or self._store.setting(app.id, STOPPED):
            return set()
        return {mount.volume for mount in self._store.release(now.live_release).mounts}

    def _remove_orphans(self) -> list[Change]:
        """Volumes of apps that this database has had and has no more: gitship was killed while it destroyed them."""
        there = {app.id for app in self._store.apps()}
        changes = []
        for name, labels in self._engine.volumes.find({types.LABEL_SERVER: self._server_id}).items():
            app_id = number_in(labels.get(types.LABEL_APP_ID)) or 0
            if not name.startswith(volume_names.prefix(self._server_id, app_id)):
                continue  # a stranger's, whatever its labels say
            # an id that was never given: the database is a backup from before, and the data may be needed yet
            if app_id in there or not 0 < app_id <= self._store.last_app_id():
                continue
            if self._engine.volumes.remove(name):
                changes.append(Change("", RepairAction.REMOVE, f"volume {name}", "its app is gone"))
        return changes

    def _owned_by(self, app_id: int) -> Mapping[str, str]:
        return {types.LABEL_SERVER: self._server_id, types.LABEL_APP_ID: str(app_id)}


def _idle(state: ContainerState) -> Change:
    return Change(state.labels.get(types.LABEL_APP, ""), RepairAction.REMOVE, state.name, "its client is gone")


def _discarded(app: App, name: str) -> Change:
    return Change(app.name, RepairAction.REMOVE, f"volume {name}", "it was discarded")
