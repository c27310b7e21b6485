"""How people decide about a canary under way. ``Operations.canaries``."""

from __future__ import annotations

from typing import Protocol

from gitship.deploy.queue import DeployQueue
from gitship.errors import NotFound
from gitship.model import App, Deploy, Identity
from gitship.routing.active_canaries import ActiveCanaries
from gitship.store import Store

ANSWER_TIMEOUT_S = 60.0


class Canaries(Protocol):
    """How people end a canary before gitship does. Both raise NotFound when the app has none."""

    def promote(self, app: App, by: Identity) -> Deploy:
        """All visitors get the new release; the deploy as it is after the switch."""
        ...

    def abort(self, app: App, by: Identity) -> Deploy:
        """All visitors get the old release, and the deploy has failed."""
        ...


class RunningCanaries:
    """The implementation behind ``Canaries``."""

    def __init__(self, store: Store, trials: ActiveCanaries, queue: DeployQueue) -> None:
        self._store = store
        self._trials = trials
        self._queue = queue

    def promote(self, app: App, by: Identity) -> Deploy:
        return self._decide(app, by, promote=True)

    def abort(self, app: App, by: Identity) -> Deploy:
        return self._decide(app, by, promote=False)

    def _decide(self, app: App, by: Identity, *, promote: bool) -> Deploy:
        app_id = self._store.confirm(app, by).id
        job = self._queue.running(app_id)
        trial = self._trials.decide(app_id, by.key_name, promote=promote)
        if job is None or trial is None:
            raise no_canary(app.name)
        job.journal.answered.wait(ANSWER_TIMEOUT_S)
        return self._store.deploy(trial.deploy_id)


def no_canary(app: str) -> NotFound:
    return NotFound(f"{app} has no canary", "to start one: git push -o canary=5% deploy main")
