"""An app's life beside its deploys: locked, renamed, stopped, started, built again. ``ServerOperations.lifecycle``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from gitship.deploy.new_release import with_changes
from gitship.deploy.rename import AppRename
from gitship.errors import Conflict, GitshipError, NotFound, OutOfReach
from gitship.git.repository import Commit, Repositories
from gitship.model import App, Deploy, DeployKind, DeployState, Identity, app_name
from gitship.routing.switch import STOPPED
from gitship.store import Store, app_lock
from gitship.store.app_lock import AppLock


class Deploying(Protocol):
    """Queues a deploy. Raises Conflict when the app is locked."""

    def __call__(
        self, app: App, kind: DeployKind, by: Identity, *, cause: str, commit: str | None = None,
        ref: str | None = None, old: str | None = None, new_name: str | None = None, no_cache: bool = False,
    ) -> Deploy: ...  # fmt: skip


class Lifecycle:
    """Every method raises GitshipError (NotFound, Conflict, ...) with a hint, and then nothing has changed."""

    def __init__(self, store: Store, repositories: Repositories, renaming: AppRename, deploy: Deploying) -> None:
        self._store = store
        self._repositories = repositories
        self._renaming = renaming
        self._deploy = deploy

    # -- lock

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

    # -- name

    def rename(self, app: App, new: str, by: Identity) -> Deploy | None:
        """A live app is renamed by a deploy that moves its traffic; another one at once (None)."""
        found = self._store.confirm(app, by)
        self._renaming.ensure_free(app_name(new), except_for=found.id)
        app_lock.ensure_unlocked(self._store, found)
        if found.live_release is not None:
            return self._deploy(found, DeployKind.RENAME, by, cause=f"rename {found.name} to {new}", new_name=new)
        self._renaming.at_once(found, new, by)
        return None

    # -- stop, start, build

    def stopped(self, app: App) -> bool:
        return bool(self._store.setting(app.id, STOPPED))

    def stop(self, app: App, by: Identity) -> Deploy:
        """Visitors get a page that says so, then the containers end."""
        found = self._store.confirm_live(app, by)
        if self.stopped(found):
            raise Conflict(f"{found.name} is stopped already", f"start it: ps:start {found.name}")
        return self._deploy(found, DeployKind.STOP, by, cause="stop")

    def start(self, app: App, by: Identity) -> Deploy:
        """New containers of the live release, with config as it is set now."""
        found = self._store.confirm_live(app, by)
        if not self.stopped(found):
            raise Conflict(f"{found.name} is not stopped", f"for new containers: ps:restart {found.name}")
        return self._deploy(found, DeployKind.START, by, cause="start")

    def rebuild(self, app: App, by: Identity, *, no_cache: bool = False) -> Deploy:
        """The live commit, built again, as a new release; ``no_cache``: this once without that of earlier builds."""
        found = self._store.confirm_live(app, by)
        live = self._store.release(found.live_release or 0)
        if live.commit is None:
            raise Conflict(
                f"{live.label} of {found.name} was not built from a commit",
                "push to it: git push deploy main; an image's newest is fetched by `git:from-image --pull`",
            )
        self._ensure_commit(found, live.commit)
        cause = f"rebuild {live.commit[:7]}"
        return self._deploy(found, DeployKind.PUSH, by, cause=cause, commit=live.commit, no_cache=no_cache)

    def retry(self, app: App, by: Identity) -> Deploy:
        """The newest deploy of a commit again, when it failed or was canceled."""
        found = self._store.confirm(app, by)
        newest = next((d for d in self._store.deploys(found.id) if d.kind is DeployKind.PUSH), None)
        if newest is None or newest.commit is None:
            raise NotFound(f"{found.name} has no deploy of a commit to retry", "push to it: git push deploy main")
        if not newest.state.ended and not newest.state.switched:
            raise Conflict(
                f"deploy {newest.id} of {found.name} is in progress: {newest.state}",
                f"see `logs:deploy {found.name}`, or cancel it: deploys:cancel {found.name}",
            )
        rolled_back = newest.state.switched and newest.reason  # by itself, see ``auto_rollback``
        if newest.state not in (DeployState.FAILED, DeployState.CANCELED) and not rolled_back:
            raise Conflict(
                f"the newest deploy of a commit, {newest.id}, is {newest.state}, not failed or canceled",
                f"to build the live commit again: ps:rebuild {found.name}",
            )
        self._ensure_commit(found, newest.commit)
        old = self._repositories.open(found.name).ref(newest.ref) if newest.ref else None
        cause = f"{'push' if newest.ref else 'rebuild'} {newest.commit[:7]}, deploy {newest.id} again"
        return self._deploy(found, DeployKind.PUSH, by, cause=cause, commit=newest.commit, ref=newest.ref, old=old)

    # -- looking back

    def commits_between(self, app: App, old: str | None, new: str | None, limit: int) -> list[Commit]:
        """The commits that a release brought, newest first; none when the repository does not have them any more."""
        if new is None:
            return []
        try:
            return self._repositories.open(app.name).commits_between(old, new, limit)
        except NotFound:
            return []

    # -- config of all apps

    def change_shared_config(
        self, changes: Mapping[str, str | None], by: Identity, *, restart: bool
    ) -> list[tuple[App, Deploy | Conflict]]:
        """Changes what every app gets below its own config, then deploys the live apps that this reaches.

        An app that is locked keeps what it has until its next deploy: its place in the answer says why.
        """
        with self._store.acting_for_all(by):
            before = self._store.global_config()
            self._store.replace_global_config(with_changes(before, changes))
        changed = {name for name, value in changes.items() if before.get(name) != value}
        deploys: list[tuple[App, Deploy | Conflict]] = []
        for app in self._store.apps() if restart else ():
            if app.live_release is None or self.stopped(app) or not changed - self._store.config(app.id).keys():
                continue
            cause = f"config of all apps: {', '.join(sorted(changed)[:5])}"
            try:
                deploys.append((app, self._deploy(app, DeployKind.CONFIG, by, cause=cause)))
            except Conflict as locked:
                deploys.append((app, locked))
            except OutOfReach:
                raise
            except NotFound:  # destroyed meanwhile: the others have theirs all the same
                continue
        return deploys

    def _ensure_commit(self, app: App, commit: str) -> None:
        try:
            self._repositories.open(app.name).commit(commit)
        except NotFound:
            raise GitshipError(
                f"the repository of {app.name} does not have commit {commit[:7]} any more",
                f"push it again: git push deploy {commit[:12]}:{app.deploy_branch or 'main'}",
            ) from None
