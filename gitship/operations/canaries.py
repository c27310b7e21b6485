"""Promote or abort a running canary."""

from __future__ import annotations

from gitship.errors import NotFound
from gitship.model import App, Deploy, Identity
from gitship.operations.shared import Shared
from gitship.routing.active_canaries import ANSWER_TIMEOUT_S, ActiveCanaries


class Canaries:
    """Both raise NotFound when the app has none."""

    def __init__(self, shared: Shared, active_canaries: ActiveCanaries) -> None:
        self._shared = shared
        self._canaries = active_canaries

    def promote(self, app: App, by: Identity) -> Deploy:
        """All visitors get the new release; the deploy as it is after the switch."""
        return self._decide(app, by, promote=True)

    def abort(self, app: App, by: Identity) -> Deploy:
        """All visitors get the old release, and the deploy has failed."""
        return self._decide(app, by, promote=False)

    def _decide(self, app: App, by: Identity, *, promote: bool) -> Deploy:
        app_id = self._shared.store.confirm(app, by).id
        job = self._shared.jobs.queue.running(app_id)
        trial = self._canaries.decide(app_id, by.key_name, promote=promote)
        if job is None or trial is None:
            raise NotFound(f"{app.name} has no canary", "to start one: git push -o canary=5% deploy main")
        job.journal.answered.wait(ANSWER_TIMEOUT_S)
        return self._shared.store.deploy(trial.deploy_id)
