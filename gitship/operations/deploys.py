"""Watch, cancel and retry deploys."""

from __future__ import annotations

import threading
from collections.abc import Callable

from gitship.deploy.job import Request
from gitship.errors import Conflict, NotFound
from gitship.model import App, Deploy, DeployKind, DeployState, Identity
from gitship.operations.git import ensure_commit
from gitship.operations.shared import Shared

CLEAR_TIMEOUT_S = 60.0


class Deploys:
    """Every method raises GitshipError (NotFound, Conflict, ...) with a hint, and then nothing has changed."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._store = shared.store

    def follow(self, deploy: Deploy, write: Callable[[str], None], gone: threading.Event) -> Deploy:
        """Hands over every output line from the beginning until the end (or ``gone``); the record as it is then."""
        return self._shared.jobs.follow(deploy, write, gone)

    def cancel(self, app: App, by: Identity) -> Deploy:
        """Ends the app's running or queued deploy. Raises NotFound when there is none."""
        found = self._store.confirm(app, by)
        job = self._shared.jobs.queue.cancel(found.id)
        if job is None:
            raise NotFound(f"{found.name} has no deploy that can be canceled", "see `deploys:list`")
        job.journal.answered.wait(CLEAR_TIMEOUT_S)
        return self._store.deploy(job.deploy.id)

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
        ensure_commit(self._shared.repositories, found, newest.commit)
        old = self._shared.repositories.open(found.name).ref(newest.ref) if newest.ref else None
        cause = f"{'push' if newest.ref else 'rebuild'} {newest.commit[:7]}, deploy {newest.id} again"
        return self._shared.jobs.submit(found, Request(DeployKind.PUSH, cause, newest.commit, newest.ref, old), by)
