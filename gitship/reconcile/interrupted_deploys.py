"""Marks deploys that a stop of gitship interrupted."""

from __future__ import annotations

import dataclasses
import logging
import time

from gitship.git.repository import Repositories
from gitship.model import Deploy, DeployState
from gitship.per_app_errors import PerAppErrors
from gitship.store import Store

log = logging.getLogger("gitship.reconcile")


class InterruptedDeploys:
    """To be settled before a deploy of this gitship begins."""

    def __init__(self, store: Store, repositories: Repositories) -> None:
        self._store = store
        self._repositories = repositories

    def settle(self) -> None:
        """Switched means live, else it has failed. One that can't be told holds up none."""
        apart = PerAppErrors()
        for deploy in self._store.unfinished_deploys():
            with apart.part("", f"deploy {deploy.id}, which was interrupted"):
                self._settle(deploy)

    def _settle(self, deploy: Deploy) -> None:
        if deploy.state.switched:
            self._end(deploy, DeployState.LIVE)
            return
        try:
            self._take_ref_back(deploy)
        finally:
            reason = f"gitship was stopped during '{deploy.state}'"
            self._end(deploy, DeployState.FAILED, reason, "push again, or repeat the command")

    def _take_ref_back(self, deploy: Deploy) -> None:
        """A ref that moved for a release that never became live returns, so that the next push tries again."""
        if deploy.ref and deploy.commit and deploy.commit != deploy.old:
            repository = self._repositories.open(self._store.app_by_id(deploy.app_id).name)
            if repository.ref(deploy.ref) == deploy.commit:
                repository.compare_and_set(deploy.ref, deploy.commit, deploy.old)

    def _end(self, deploy: Deploy, state: DeployState, reason: str = "", hint: str = "") -> None:
        failed_stage = deploy.state if state is DeployState.FAILED else None
        self._store.update_deploy(
            dataclasses.replace(
                deploy, state=state, reason=reason, hint=hint, failed_stage=failed_stage, finished_at=time.time()
            )
        )
