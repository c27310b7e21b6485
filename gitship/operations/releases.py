"""Roll back, promote and compare releases."""

from __future__ import annotations

from gitship.deploy.auto_rollback import is_bad
from gitship.deploy.job import Request, Withdrawal
from gitship.errors import Conflict, NotFound
from gitship.git.repository import Commit
from gitship.model import GITSHIP, App, Deploy, DeployKind, Identity, Release
from gitship.operations.shared import Shared
from gitship.store.rights import ensure_live


class Releases:
    """Every method raises GitshipError (NotFound, Conflict, ...) with a hint, and then nothing has changed."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._store = shared.store

    def rollback(self, app: App, number: int | None, by: Identity) -> Deploy:
        """A new release with the image, config and processes of release ``number`` (default: the previous good one)."""
        found = self._store.confirm_live(app, by)
        live = self._store.release(found.live_release or 0)
        if number is None:
            good = [r for r in self._store.good_releases(found.id) if r.number < live.number]
            good = [r for r in good if not is_bad(self._store, found.id, r.number)]
            if not good:
                raise NotFound(f"{found.name} has no release before {live.label} to go back to", "see `releases:list`")
            target = good[0]
        else:
            target = self._store.release_number(found.id, number)
            if target.id == live.id:
                raise Conflict(f"{target.label} is already live", "see `releases:list`")
        request = Request(DeployKind.ROLLBACK, f"rollback to {target.label}", target.commit, release_id=target.id)
        return self._shared.jobs.submit(found, request, by)

    def withdraw(self, app: App, target: Release, withdrawal: Withdrawal, cause: str) -> Deploy:
        """Back to ``target`` by itself, from a release that has turned out bad. Raises Conflict when it is locked."""
        request = Request(DeployKind.ROLLBACK, cause, target.commit, release_id=target.id, withdrawal=withdrawal)
        return self._shared.jobs.submit(app, request, GITSHIP)

    def promote(self, app: App, to: App, number: int | None, by: Identity) -> Deploy:
        """The image and processes of a release of ``app`` (the live one) as the next release of ``to``."""
        source, target = self._store.confirm(app, by), self._store.confirm(to, by)
        if source.id == target.id:
            raise Conflict(
                f"{source.name} is the same app", f"to go back to an earlier release: releases:rollback {source.name}"
            )
        if number is None:
            source = ensure_live(source)
            release = self._store.release(source.live_release or 0)
        else:
            release = self._store.release_number(source.id, number)
        cause = f"{source.name} {release.label}"
        request = Request(DeployKind.PROMOTE, cause, release.commit, release_id=release.id, source=source)
        return self._shared.jobs.submit(target, request, by)

    def commits_between(self, app: App, old: str | None, new: str | None, limit: int) -> list[Commit]:
        """The commits that a release brought, newest first; none when the repository does not have them any more."""
        if new is None:
            return []
        try:
            return self._shared.repositories.open(app.name).commits_between(old, new, limit)
        except NotFound:
            return []
