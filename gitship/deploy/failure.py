"""How a deploy ends that was broken off: what is undone then, and what its record and its last lines say."""

from __future__ import annotations

import logging
import time
from contextlib import suppress

from gitship.appsettings import STOPPED
from gitship.deploy import output
from gitship.deploy.hooks import Hooks
from gitship.deploy.job import Job
from gitship.deploy.rename import AppRename
from gitship.engine.interface import Engine
from gitship.engine.types import LABEL_APP_ID
from gitship.errors import DeployCanceled, DeployError, GitshipError
from gitship.git.repository import Repositories
from gitship.model import App, DeployState
from gitship.store import Store

log = logging.getLogger("gitship.deploy")
MOST_REASON_CHARS = 1000


class DeployFailure:
    """Containers and Varnish are as they were before already: see ``Pipeline``."""

    def __init__(
        self, store: Store, engine: Engine, repositories: Repositories, renaming: AppRename, hooks: Hooks
    ) -> None:
        self._store = store
        self._engine = engine
        self._repositories = repositories
        self._renaming = renaming
        self._hooks = hooks

    def end(self, job: Job, error: GitshipError) -> None:
        """Failed, unless visitors have the release already: what was to come after that is for the reconciler to do."""
        error = self._cause(job, error)
        if not self._store.deploy(job.deploy.id).state.switched:  # as it was committed, whatever the journal says
            self._failed(job, error)
            return
        log.warning("deploy %d: after the switch: %s; the reconciler will finish it", job.deploy.id, error.message)
        job.journal.answer()
        job.journal.finish(DeployState.LIVE, DeployState.DRAINING, time.time(), 0.0)

    def _cause(self, job: Job, error: GitshipError) -> GitshipError:
        """Of a deploy that was canceled because the right to it is gone: that it is."""
        if isinstance(error, DeployCanceled):
            try:
                job.confirm(self._store)
            except GitshipError as lost:
                return lost
        return error

    def _failed(self, job: Job, error: GitshipError) -> None:
        deploy = job.deploy
        stage = deploy.state
        state = job.canceled_by if isinstance(error, DeployCanceled) else DeployState.FAILED
        app = self._store.app_by_id(job.app_id)
        live = self._store.release(app.live_release) if app.live_release else None
        if job.request.new_name:
            with suppress(GitshipError):  # Varnish is away: the reconciler brings it to the store's state
                self._renaming.undo(app, job.request.new_name)
        if job.request.ref_moved and deploy.ref:
            self._repositories.open(app.name).compare_and_set(deploy.ref, deploy.commit, deploy.old)
        standing = "nothing was live before"
        if live:
            standing = f"{live.label} keeps serving, unchanged"
            if self._all_gone(app):
                standing = f"{live.label} stays live, unchanged, but has no containers: ps:list {app.name}"
        if live and self._store.setting(app.id, STOPPED):
            standing = f"{app.name} stays stopped"
        standing += f"; this was deploy {deploy.id}" + (f", request {deploy.request}" if deploy.request else "")
        lines = error.lines if isinstance(error, DeployError) else ()
        reason = output.title(error.message, MOST_REASON_CHARS)  # it may have an app's own words in it
        for line in output.failure(str(stage), reason, error.hint, lines, standing):
            job.journal.line(line)
        job.journal.update(state=state, failed_stage=stage, reason=reason, hint=error.hint, finished_at=time.time())
        if state is DeployState.FAILED:
            self._hooks.on_failure(app, job)
        job.journal.close()

    def _all_gone(self, app: App) -> bool:
        """Nothing is left of what is live; while Docker does not say, it is taken to be there."""
        wanted = {container.id for container in self._store.containers(app.id)}
        with suppress(GitshipError):
            there = {s.id for s in self._engine.list({LABEL_APP_ID: str(app.id)})} if wanted else set()
            return bool(wanted) and not wanted & there
        return False
