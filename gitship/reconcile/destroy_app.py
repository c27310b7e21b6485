"""Destroys an app and all its data; resumes after a restart.

The setting ``destroy`` is written before anything is removed. From then on the app has no host and takes no deploy,
nothing of it is repaired, and what could not be removed now the reconciler tries again, also in the next gitship.
"""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack, suppress

from gitship.appsettings import DESTROYING
from gitship.config import Settings
from gitship.containers.claims import Claims
from gitship.containers.discrepancies import Change, RepairAction
from gitship.deploy.image_tags import held_by, only_of
from gitship.deploy.queue import DeployQueue
from gitship.engine import types
from gitship.engine.addresses import Addresses
from gitship.engine.interface import Engine
from gitship.errors import Conflict, GitshipError, NotFound
from gitship.events import Bus, Event
from gitship.front.front import Front
from gitship.git.repository import Repositories
from gitship.logs import directories
from gitship.model import GITSHIP, App, Identity
from gitship.ownership import Ownership
from gitship.per_app_errors import PerAppErrors
from gitship.routing import switch
from gitship.services.links import ServiceLinks
from gitship.store import Store
from gitship.volumes.lifecycle import VolumeLifecycle

log = logging.getLogger("gitship.destroy")
CLEAR_TIMEOUT_S = 60.0
STOP_GRACE_S = 10.0
NETWORK_TRIES = 3  # a container that Docker made just before the list, for a client that has gone, is not in it


class AppDestruction:
    """Safe from any thread."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        bus: Bus,
        engine: Engine,
        front: Front,
        repositories: Repositories,
        addresses: Addresses,
        queue: DeployQueue,
        volume_lifecycle: VolumeLifecycle,
        claims: Claims,
        links: ServiceLinks,
        apart: PerAppErrors | None = None,
    ) -> None:
        self._apart = apart or PerAppErrors()
        self._ownership = Ownership(store)
        self._settings = settings
        self._store = store
        self._bus = bus
        self._engine = engine
        self._front = front
        self._repositories = repositories
        self._addresses = addresses
        self._queue = queue
        self._volume_lifecycle = volume_lifecycle
        self._claims = claims
        self._links = links
        self._server_id = store.server_id()

    def destroy(self, app: App, by: Identity) -> None:
        """Removes the app for good. Raises Conflict or EngineError: then nothing is removed, or the message says so.

        Raises Conflict also when the app has another name by now: ``by`` has agreed to the end of the one under that.
        """
        found = self._store.confirm(app, by)
        self._volume_lifecycle.ensure_still(found)
        with self._queue.closed(found.id, f"{found.name} is being destroyed", CLEAR_TIMEOUT_S) as clear:
            if not clear:
                raise Conflict(f"a deploy of {found.name} is just ending", "try again in a moment")
            with self._claims.ending(found.id):
                self._volume_lifecycle.ensure_still(found)  # once more, now that none begins
                self._engine.ping()  # while Docker is down nothing is begun
                with self._front.holding(found.id), self._store.acting(found, by) as now:
                    if now.name != app.name:  # a rename may have ended meanwhile
                        raise Conflict(f"{app.name} is now called {now.name}", "nothing was removed; see `apps:list`")
                    self._store.set_setting(now.id, DESTROYING, time.time())
                self._finish(now)

    def discard(self, app: App) -> bool:
        """The same for an app that nobody has used since it was made. False when somebody has, or it is gone."""
        try:
            # in one transaction: a deploy has a record before it begins, and none begins after this
            with self._front.holding(app.id), self._store.acting(app, GITSHIP) as now:
                if self._store.is_used(now.id) or self._repositories.open(now.name).refs():
                    return False
                self._store.set_setting(now.id, DESTROYING, time.time())
        except NotFound:
            return False
        with self._claims.ending(now.id):
            self._finish(now)
        return True

    def amiss(self) -> list[Change]:
        """What ``settle`` would do now."""
        going = self._store.apps_with_setting(DESTROYING)
        return [_rest(a) for a in self._store.apps() if a.id in going]

    def settle(self, failed: list[GitshipError]) -> list[Change]:
        """Goes on with what was begun. To ``failed`` is added what could not be removed, which is logged, too."""
        changes: list[Change] = []
        for app_id in self._store.apps_with_setting(DESTROYING):
            with suppress(NotFound):  # who destroys it has done it
                app = self._store.app_by_id(app_id)
                with self._apart.part(app.name, "destroying it", failed):
                    changes += [_rest(app)] if self._go_on(app) else []
        return changes

    def _go_on(self, app: App) -> bool:
        """False while who destroys it is at it. What fails ends the claim, too: else the app could never be removed."""
        with ExitStack() as stack:
            try:
                stack.enter_context(self._claims.ending(app.id, wait=False))
            except Conflict:
                return False
            self._remove(app)
        return True

    def _finish(self, app: App) -> None:
        try:
            self._remove(app)
        except GitshipError as error:
            raise GitshipError(
                f"{app.name} could not be deleted completely: {error.message}",
                f"{error.hint or 'see the log of the server'}; the server retries by itself",
            ) from error

    def _remove(self, app: App) -> None:
        """Each step may be taken again. What visitors see goes first, the record last."""
        with self._front.holding(app.id):
            self._front.bring_hosts(lambda: switch.hosts(self._store, self._settings.domain, self._settings.web.domain))
            self._front.remove(app.slug)
        self._links.let_go(app)
        for left in range(NETWORK_TRIES - 1, -1, -1):
            self._remove_containers(app)
            try:
                self._addresses.remove(app)
                break
            except Conflict:
                if not left:
                    raise
        self._volume_lifecycle.remove_all(app)
        mine = held_by(self._store, app)
        for image_id in {r.image_id for r in self._store.releases(app.id)}:  # those of other apps, too, stay
            self._engine.images.remove(image_id, mine, untagged=only_of(self._store, app, image_id))
        self._repositories.remove(app.name)
        directories.clear(self._settings.logs, app.id)
        self._store.delete_app(app.id)
        directories.clear(self._settings.logs, app.id)  # what a drain that was just ending has kept
        self._bus.publish(Event("app", app.name))

    def _remove_containers(self, app: App) -> None:
        found = self._engine.list({types.LABEL_SERVER: self._server_id, types.LABEL_APP_ID: str(app.id)})
        for container in self._ownership.all(found).get(app.id, []):
            self._engine.stop(container.id, STOP_GRACE_S)
            self._engine.remove(container.id)


def _rest(app: App) -> Change:
    return Change(app.name, RepairAction.REMOVE, f"what is left of {app.name}", "it is being destroyed")
