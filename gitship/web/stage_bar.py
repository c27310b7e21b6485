"""Stages of a deploy, as a list and a bar to scale."""

from __future__ import annotations

from dataclasses import dataclass

from gitship.model import Deploy, DeployState
from gitship.web.humanize import duration

BAR_WIDTH = 1000  # units of the drawing, stretched to the page's width
MIN_WIDTH = 4  # so that a stage of some milliseconds can be seen

# What every deploy goes through; a release command, and a build, are only shown where there was one.
_EXPECTED = (DeployState.STARTING, DeployState.CHECKING, DeployState.SWITCHING, DeployState.DRAINING)
_ORDER = tuple(DeployState)


@dataclass(frozen=True, slots=True)
class StageBox:
    """``look`` is done, now, failed or later; ``x`` and ``width`` in units of BAR_WIDTH, 0 without a time."""

    name: str
    look: str
    time: str = ""
    x: float = 0
    width: float = 0


def stages(deploy: Deploy) -> list[StageBox]:
    """Every stage the deploy went through, in order, then, while it runs, the one it is in and those to come."""
    total = stage_seconds(deploy) or 1.0
    scale = (BAR_WIDTH - MIN_WIDTH * len(deploy.stages)) / total
    shown: list[StageBox] = []
    x = 0.0
    for time in deploy.stages:
        width = MIN_WIDTH + time.seconds * scale
        running = not deploy.state.ended and time.stage is deploy.state
        look = "failed" if time.stage is deploy.failed_stage else "now" if running else "done"
        shown.append(StageBox(time.stage, look, duration(time.seconds), round(x, 1), round(width, 1)))
        x += width
    names = {s.name for s in shown}
    if deploy.failed_stage and deploy.failed_stage not in names:
        shown.append(StageBox(deploy.failed_stage, "failed"))
    if not deploy.state.ended:
        if deploy.state not in names:
            shown.append(StageBox(deploy.state, "now"))
        done = _ORDER.index(deploy.state)
        shown += [StageBox(s, "later") for s in _EXPECTED if _ORDER.index(s) > done]
    return shown


def share(deploy: Deploy, longest: float) -> int:
    """Percent of the longest deploy's bar, so that deploys can be compared."""
    return max(2, min(100, round(100 * stage_seconds(deploy) / longest))) if longest else 100


def stage_seconds(deploy: Deploy) -> float:
    """All that it worked."""
    return sum(s.seconds for s in deploy.stages)


def total_seconds(deploy: Deploy, now: float) -> float:
    """From the request to the end, or to ``now`` while it runs."""
    return deploy.lasted_s(now)
