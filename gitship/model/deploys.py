"""Deploys, their states and stages."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class DeployKind(StrEnum):
    """What asked for the deploy."""

    PUSH = "push"
    CONFIG = "config"
    ROLLBACK = "rollback"
    SCALE = "scale"
    RESTART = "restart"
    STOP = "stop"
    START = "start"
    RENAME = "rename"
    PROMOTE = "promote"  # another app's image
    IMAGE = "image"  # one from the engine or a registry


class DeployState(StrEnum):
    """Where a deploy stands; the names before ``live`` are the pipeline's stages in order."""

    RECEIVED = "received"
    QUEUED = "queued"
    BUILDING = "building"
    RELEASING = "release command"
    STARTING = "starting"
    CHECKING = "checking"
    CANARY = "canary"
    SWITCHING = "switching"
    DRAINING = "draining"
    LIVE = "live"
    FAILED = "failed"
    CANCELED = "canceled"
    SUPERSEDED = "superseded"

    @property
    def ended(self) -> bool:
        """True for the states that a deploy never leaves."""
        return self in (DeployState.LIVE, DeployState.FAILED, DeployState.CANCELED, DeployState.SUPERSEDED)

    @property
    def switched(self) -> bool:
        """True once visitors see the new release."""
        return self in (DeployState.DRAINING, DeployState.LIVE)


@dataclass(frozen=True, slots=True)
class StageTime:
    """When a stage of a deploy began (epoch seconds) and how long it took (seconds)."""

    stage: DeployState
    started_at: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Deploy:
    """The record of one deploy. ``ref``, ``old``, ``commit`` belong to a push; ``release_id`` comes with the build."""

    id: int
    app_id: int
    kind: DeployKind
    state: DeployState
    created_by: str
    created_at: float
    cause: str = ""
    commit: str | None = None
    ref: str | None = None
    old: str | None = None
    release_id: int | None = None
    failed_stage: DeployState | None = None
    reason: str = ""
    hint: str = ""
    started_at: float | None = None
    finished_at: float | None = None
    stages: tuple[StageTime, ...] = ()
    request: str = ""  # the id under which the server's log has what belongs to it

    def lasted_s(self, now: float) -> float:
        """From its creation to its end or ``now``; 0 when the clock was set back behind it meanwhile."""
        return max(0.0, (self.finished_at or now) - self.created_at)
