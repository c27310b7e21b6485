"""Create, rename, lock, clone and destroy apps."""

from __future__ import annotations

from gitship.appsettings import AppLock
from gitship.deploy.job import Request
from gitship.deploy.rename import AppRename
from gitship.git.copy_repository import prepared
from gitship.model import App, Deploy, DeployKind, Identity, app_name
from gitship.operations import app_lock
from gitship.operations.clone import copy
from gitship.operations.shared import Shared
from gitship.reconcile.destroy_app import AppDestruction


class Apps:
    """Every method raises GitshipError (NotFound, Conflict, ...) with a hint, and then nothing has changed."""

    def __init__(self, shared: Shared, destroying: AppDestruction) -> None:
        self._shared = shared
        self._store = shared.store
        self._repositories = shared.repositories
        self._renaming = AppRename(shared.settings, shared.store, shared.front, shared.repositories)
        self._destroying = destroying

    def create(self, name: str, by: Identity) -> App:
        app_name(name)
        with self._store.acting_for_all(by):
            self._renaming.ensure_free(name)
            app = self._store.create_app(name, by.key_id)
            # in here: a server that is killed, or has no room, leaves no app without a repository
            self._repositories.remove(name)  # of a clone that was cut short
            self._repositories.create(name)
        self._shared.publish_hosts(app)
        return app

    def clone(self, app: App, new: str, by: Identity, *, config: bool = True, deploy: bool = True) -> Deploy | None:
        """A second app like it, then live with the same image; None when nothing is to be deployed."""
        source = self._store.confirm(app, by)
        self._renaming.ensure_free(app_name(new))
        with prepared(self._repositories, source.name) as repository, self._store.acting_for_all(by):
            source = self._store.confirm(app, by)
            self._renaming.ensure_free(new)
            made = self._store.create_app(new, by.key_id)
            copy(self._store, source, made, config=config)
            # last: a server that is killed here leaves a repository without an app, which `adopt` clears away
            self._repositories.adopt(repository, new)
        self._shared.publish_hosts(made)
        if not deploy or source.live_release is None:
            return None
        live = self._store.release(source.live_release)
        cause = f"{source.name} {live.label}"
        request = Request(DeployKind.PROMOTE, cause, live.commit, release_id=live.id, source=source)
        return self._shared.jobs.submit(made, request, by)

    def rename(self, app: App, new: str, by: Identity) -> Deploy | None:
        """A live app is renamed by a deploy that moves its traffic; another one at once (None)."""
        found = self._store.confirm(app, by)
        self._renaming.ensure_free(app_name(new), except_for=found.id)
        app_lock.ensure_unlocked(self._store, found)
        if found.live_release is not None:
            request = Request(DeployKind.RENAME, f"rename {found.name} to {new}", new_name=new)
            return self._shared.jobs.submit(found, request, by)
        self._renaming.at_once(found, new, by)
        return None

    def destroy(self, app: App, by: Identity) -> None:
        """Cancels its deploys, takes it out of Varnish, removes all of it: containers, volumes, images, records, ..."""
        self._destroying.destroy(app, by)

    def discard(self, app: App) -> bool:
        """Takes back an app that a push made and did not deploy. False when somebody has taken it up meanwhile."""
        return self._destroying.discard(app)

    def lock(self, app: App, by: Identity, message: str) -> None:
        """From now on no deploy of the app begins; those that are queued or under way go on."""
        with self._store.acting(app, by) as found:
            app_lock.set_lock(self._store, found, by, message)

    def unlock(self, app: App, by: Identity) -> AppLock:
        """The lock that is gone."""
        with self._store.acting(app, by) as found:
            return app_lock.unlock(self._store, found)

    def locked(self, app: App) -> AppLock | None:
        return app_lock.lock_of(self._store, app)
