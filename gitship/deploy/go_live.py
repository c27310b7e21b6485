"""Commit stage of a deploy: moves the ref and records the live release; no undo after it."""

from __future__ import annotations

import logging

from gitship.appsettings import BEFORE, BUILT_CONTEXT, PENDING, SKIP_CHECKS, STOPPED, Skip
from gitship.deploy.job import Job
from gitship.deploy.new_release import Candidate, with_changes
from gitship.deploy.rename import AppRename
from gitship.deploy.rollout import Rollout
from gitship.errors import Conflict, GitshipError
from gitship.git.repository import Repositories
from gitship.model import App, DeployKind, DeployState
from gitship.store import Store

log = logging.getLogger("gitship.deploy")


class GoLive:
    """Makes a rollout true: all of it or nothing."""

    def __init__(self, store: Store, repositories: Repositories, renaming: AppRename) -> None:
        self._store = store
        self._repositories = repositories
        self._renaming = renaming

    def expected_ref(self, app: App, job: Job) -> str | None:
        """What the pushed ref must be when it moves: what the client saw, or what this push contains already.

        None also when no ref has to move. Raises Conflict.
        """
        deploy = job.deploy
        if deploy.ref is None or deploy.commit is None or job.request.ref_moved:
            return None
        repository = self._repositories.open(app.name)
        now = repository.ref(deploy.ref)
        if now in (deploy.old, deploy.commit) or (now is not None and repository.is_ancestor(now, deploy.commit)):
            return now
        raise Conflict(
            f"{deploy.ref.removeprefix('refs/heads/')} moved to {(now or 'nothing')[:7]} while this push was waiting",
            "git fetch, merge or rebase, and push again; or repeat the command",
        )

    def make(self, rollout: Rollout) -> None:
        """The ref moves, then the store says what is live. From here on the deploy has happened.

        Raises Conflict when the branch has moved meanwhile, NoPermission when the key of who has asked may no longer;
        then nothing has changed.
        """
        deploy, candidate = rollout.job.deploy, rollout.candidate
        assert candidate is not None
        rollout.job.confirm(self._store)
        moved = False
        if deploy.ref and deploy.commit and not rollout.job.request.ref_moved:
            repository = self._repositories.open(rollout.app.name)
            moved = repository.compare_and_set(deploy.ref, rollout.expected_ref, deploy.commit)
            if not moved:
                raise Conflict(
                    "the branch moved during the deploy",
                    "git fetch, merge or rebase, and push again; or repeat the command",
                )
        try:
            with self._store.transaction():
                rollout.job.confirm(self._store)
                self._store.set_live(rollout.app.id, rollout.release.id, rollout.wanted)
                own = self._store.config(rollout.app.id) if candidate.config is None else candidate.config
                self._store.replace_config(
                    rollout.app.id, with_changes(own, {**rollout.job.request.config, **candidate.wishes})
                )
                self._store.set_setting(rollout.app.id, STOPPED, rollout.stopped or None)
                self._store.set_setting(rollout.app.id, BEFORE, rollout.left_behind)
                self._keep_settings(rollout, candidate)
                if rollout.job.request.new_name:
                    self._renaming.ensure_begun(rollout.before, rollout.job.request.new_name)
                    self._renaming.commit(rollout.before, rollout.job.request.new_name)
                self._store.set_scale(rollout.app.id, rollout.job.request.scale)
                if deploy.ref:
                    self._settle_branch(rollout.app, deploy.ref, is_new=rollout.expected_ref is None)
                rollout.job.journal.update(state=DeployState.DRAINING)
            self._withdraw(rollout)
        except BaseException:
            if moved and deploy.ref:
                self._repositories.open(rollout.app.name).compare_and_set(
                    deploy.ref, deploy.commit, rollout.expected_ref
                )
            raise

    def _withdraw(self, rollout: Rollout) -> None:
        """The branch of a push that was rolled back from by itself is back where it was: it may be pushed again."""
        gone = rollout.job.request.withdrawal
        if gone is None or not gone.ref or not gone.commit or gone.commit == gone.old:
            return
        try:
            self._repositories.open(rollout.app.name).compare_and_set(gone.ref, gone.commit, gone.old)
        except GitshipError as error:
            log.warning("%s: %s stays where it is: %s", rollout.app.name, gone.ref, error.message)

    def _settle_branch(self, app: App, ref: str, *, is_new: bool) -> None:
        """The first branch that deploys is the one that does; a clone checks it out from when it is there."""
        branch, deploys = ref.removeprefix("refs/heads/"), self._store.app_by_id(app.id).deploy_branch
        if deploys is None:
            self._store.set_deploy_branch(app.id, branch)
        if deploys is None or (is_new and deploys == branch):
            self._repositories.open(app.name).point_head(ref)

    def _keep_settings(self, rollout: Rollout, candidate: Candidate) -> None:
        app_id = rollout.app.id
        self._store.change_settings(app_id, {**rollout.job.request.settings, **candidate.settings})
        if candidate.is_new and self._store.setting(app_id, PENDING) == candidate.pending:
            self._store.set_setting(app_id, PENDING, None)
        if rollout.job.kind is DeployKind.PUSH:
            self._store.set_setting(app_id, BUILT_CONTEXT, candidate.context)
        if rollout.skipped and self._store.setting(app_id, SKIP_CHECKS) == Skip.ONCE:
            self._store.set_setting(app_id, SKIP_CHECKS, None)
