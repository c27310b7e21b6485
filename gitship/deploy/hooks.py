"""Runs the server's hooks at the points of a deploy; ``hook_files`` decides which may run.

Hooks before the switch can fail the deploy, and then nothing has changed; the others are only listened to.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable

from gitship.config import Settings
from gitship.deploy import hook_files, hook_run
from gitship.deploy.deploy_json import iso, told_document
from gitship.deploy.hook_files import HookFile, HookPoint
from gitship.deploy.job import Job
from gitship.deploy.rollout import Rollout
from gitship.errors import DeployCanceled, DeployError, GitshipError
from gitship.model import App, DeployKind, DeployState
from gitship.store import Store

log = logging.getLogger("gitship.hooks")
ENVIRONMENT_CHARS = 2000  # of one value


class Hooks:
    """Each method is a point of the pipeline; ``url`` says where an app answers."""

    def __init__(self, store: Store, settings: Settings, url: Callable[[App], str]) -> None:
        self._store = store
        self._directory = settings.hooks_dir
        self._timeout_s = settings.hooks.timeout
        self._url = url

    def before_build(self, rollout: Rollout) -> None:
        """Only when something is built. Raises DeployError when a hook fails or must not run, DeployCanceled."""
        if rollout.job.kind is DeployKind.PUSH:
            self._must_pass(HookPoint.BEFORE_BUILD, rollout, DeployState.BUILDING)

    def after_build(self, rollout: Rollout) -> None:
        """As ``before_build``, with the release known."""
        if rollout.job.kind is DeployKind.PUSH:
            self._must_pass(HookPoint.AFTER_BUILD, rollout, DeployState.BUILDING)

    def before_switch(self, rollout: Rollout) -> None:
        """In every deploy, once the new containers are healthy. Raises as ``before_build``."""
        self._must_pass(HookPoint.BEFORE_SWITCH, rollout, DeployState.CHECKING)

    def after_deploy(self, rollout: Rollout) -> None:
        """Once visitors have the release. A failure is told, and takes nothing back."""
        self._listen(HookPoint.AFTER_DEPLOY, rollout.app, rollout.job)

    def on_failure(self, app: App, job: Job) -> None:
        """Once a failed deploy's record is complete. A failure is told."""
        self._listen(HookPoint.ON_FAILURE, app, job)

    def _must_pass(self, point: HookPoint, rollout: Rollout, state: DeployState) -> None:
        for hook in hook_files.at(self._directory, point):
            with rollout.job.journal.stage(state):
                self._run(hook, rollout.app, rollout.job)

    def _listen(self, point: HookPoint, app: App, job: Job) -> None:
        """Never raises: the deploy has its result already."""
        for hook in hook_files.at(self._directory, point):
            try:
                self._run(hook, app, job)
            except DeployCanceled:
                job.journal.line(
                    f" !     hook {point}/{hook.name} was stopped: the server is stopping, or the app is being deleted"
                )
            except GitshipError as error:
                job.journal.line(f" !     {error.message}; this changes nothing")
            except Exception:
                log.exception("hook %s/%s in deploy %d", point, hook.name, job.deploy.id)

    def _run(self, hook: HookFile, app: App, job: Job) -> None:
        name = f"hook {hook.point}/{hook.name}"
        hint = f"it is a hook of the server: ask its administrator; {hook.path}"
        if hook.skipped:
            job.journal.detail(f"{name} is skipped: {hook.skipped}")
            return
        if hook.refusal:
            raise DeployError(f"{name} must not run: {hook.refusal}", hint)
        began = time.monotonic()
        job.journal.detail(name)
        try:
            ended = hook_run.run(
                hook.path, self._environment(hook.point, app, job), self._document(hook.point, app, job),
                lambda line: job.journal.detail(f"{hook.name}: {line}"), job.cancel, self._timeout_s,
            )  # fmt: skip
        except DeployCanceled:
            raise
        except DeployError as error:
            raise DeployError(f"{name} {error.message}", hint) from None
        if ended.code:
            how = f"exited {ended.code}" if ended.code > 0 else f"was killed by signal {-ended.code}"
            raise DeployError(f"{name} {how}{': ' if ended.last_line else ''}{ended.last_line}", hint)
        job.journal.raw(f"{name} done {time.monotonic() - began:.1f}s")

    def _environment(self, point: HookPoint, app: App, job: Job) -> dict[str, str]:
        deploy = job.deploy
        release = self._store.release(deploy.release_id) if deploy.release_id else None
        values = {
            "POINT": point,
            "KIND": deploy.kind,
            "APP": app.name,
            "DEPLOY": str(deploy.id),
            "RELEASE": str(release.number) if release else "",
            "COMMIT": (release.commit if release else None) or deploy.commit or "",
            "STAGE": deploy.failed_stage or deploy.state,
            "REASON": deploy.reason,
            "URL": self._url(app),
        }
        return {f"GITSHIP_{n}": str(v).replace("\0", "")[:ENVIRONMENT_CHARS] for n, v in values.items()}

    def _document(self, point: HookPoint, app: App, job: Job) -> bytes:
        deploy = job.deploy
        now = time.time()
        told = told_document(self._store, deploy, self._url(app), state=deploy.state.value, at=now)
        return json.dumps({"point": point.value, "at": iso(now), "app": app.name, "deploy": told}).encode()
