"""Records of deploys."""

from __future__ import annotations

import json
import time
from typing import Any

from gitship import log_context
from gitship.errors import NotFound
from gitship.model import Deploy, DeployKind, DeployState, StageTime, Topic
from gitship.store.webhooks import Webhooks

_DEPLOY = (
    "id, app_id, kind, state, created_by, created_at, cause, commit_sha, ref, old_sha, release_id, failed_stage,"
    " reason, hint, started_at, finished_at, stages, request"
)

_TOLD = {
    DeployState.DRAINING: Topic.DEPLOY_LIVE,  # visitors have it; what comes after changes nothing for them
    DeployState.FAILED: Topic.DEPLOY_FAILED,
    DeployState.CANCELED: Topic.DEPLOY_CANCELED,
    DeployState.SUPERSEDED: Topic.DEPLOY_CANCELED,
}


class DeployRecords(Webhooks):
    """The records of deploys."""

    def create_deploy(
        self, app_id: int, kind: DeployKind, created_by: str, *,
        cause: str = "", commit: str | None = None, ref: str | None = None, old: str | None = None,
    ) -> Deploy:  # fmt: skip
        with self.transaction() as db:
            cursor = db.execute(
                "INSERT INTO deploys (app_id, kind, state, created_by, created_at, cause, commit_sha, ref, old_sha,"
                " request) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    app_id,
                    kind,
                    DeployState.RECEIVED,
                    created_by,
                    time.time(),
                    cause,
                    commit,
                    ref,
                    old,
                    log_context.request(),
                ),
            )
            deploy_id = cursor.lastrowid
        assert deploy_id is not None
        return self.deploy(deploy_id)

    def deploy(self, deploy_id: int) -> Deploy:
        """Raises NotFound."""
        row = self._row(f"SELECT {_DEPLOY} FROM deploys WHERE id = ?", deploy_id)
        if row is None:
            raise NotFound(f"no deploy {deploy_id}", "see `deploys:list`")
        return _deploy(row)

    def deploys(self, app_id: int, limit: int = 50) -> list[Deploy]:
        """Newest first."""
        return [
            _deploy(r)
            for r in self._rows(
                f"SELECT {_DEPLOY} FROM deploys WHERE app_id = ? ORDER BY id DESC LIMIT ?", app_id, limit
            )
        ]

    def last_deploy_id(self) -> int:
        """The highest id that was ever given to a deploy."""
        row = self._row("SELECT seq FROM sqlite_sequence WHERE name = 'deploys'")
        return int(row[0]) if row else 0

    def unfinished_deploys(self) -> list[Deploy]:
        """Oldest first."""
        ended = [s for s in DeployState if s.ended]
        marks = ", ".join("?" * len(ended))
        return [
            _deploy(r)
            for r in self._rows(f"SELECT {_DEPLOY} FROM deploys WHERE state NOT IN ({marks}) ORDER BY id", *ended)
        ]

    def deploying(self, app_id: int) -> bool:
        """True while a deploy may yet change what the app's containers have; not while it drains the old ones."""
        return any(d.app_id == app_id and not d.state.switched for d in self.unfinished_deploys())

    def update_deploy(self, deploy: Deploy) -> None:
        """Writes everything that may change in a deploy's life, and tells the webhooks in the same transaction."""
        stages = json.dumps([[s.stage, s.started_at, s.seconds] for s in deploy.stages])
        with self.transaction() as db:
            before = db.execute(
                "SELECT d.state, d.started_at, a.name FROM deploys d JOIN apps a ON a.id = d.app_id WHERE d.id = ?",
                (deploy.id,),
            ).fetchone()
            db.execute(
                "UPDATE deploys SET state = ?, old_sha = ?, release_id = ?, failed_stage = ?, reason = ?, hint = ?,"
                " started_at = ?, finished_at = ?, stages = ? WHERE id = ?",
                (
                    deploy.state, deploy.old, deploy.release_id, deploy.failed_stage, deploy.reason, deploy.hint,
                    deploy.started_at, deploy.finished_at, stages, deploy.id,
                ),
            )  # fmt: skip
            if before is None:  # its app was destroyed
                return
            state, started_at, app = before
            if started_at is None and deploy.started_at is not None:
                self.announce(Topic.DEPLOY_STARTED, deploy.app_id, app, deploy_id=deploy.id, state=deploy.state)
            if deploy.state != state and deploy.state in _TOLD:
                self.announce(_TOLD[deploy.state], deploy.app_id, app, deploy_id=deploy.id, state=deploy.state)


def _deploy(row: Any) -> Deploy:
    id_, app_id, kind, state, created_by, created_at, cause, commit, ref, old, *end = row
    release_id, failed_stage, reason, hint, started_at, finished_at, stages, request = end
    return Deploy(
        id=id_,
        app_id=app_id,
        kind=DeployKind(kind),
        state=DeployState(state),
        created_by=created_by,
        created_at=created_at,
        cause=cause,
        commit=commit,
        ref=ref,
        old=old,
        release_id=release_id,
        failed_stage=DeployState(failed_stage) if failed_stage else None,
        reason=reason,
        hint=hint,
        started_at=started_at,
        finished_at=finished_at,
        stages=tuple(StageTime(DeployState(s), at, seconds) for s, at, seconds in json.loads(stages)),
        request=request,
    )
