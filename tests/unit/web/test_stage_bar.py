"""Stages in words and to scale, and times as people say them."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from gitship.model import Deploy, DeployKind, DeployState, StageTime
from gitship.web import humanize
from gitship.web.stage_bar import BAR_WIDTH, MIN_WIDTH, stages, total_seconds

DEPLOY = Deploy(1, 1, DeployKind.PUSH, DeployState.STARTING, "ada", 100.0)
BUILT = (StageTime(DeployState.BUILDING, 100.0, 9.0), StageTime(DeployState.STARTING, 109.0, 1.0))


def test_a_running_deploy_shows_done_now_and_later() -> None:
    shown = stages(dataclasses.replace(DEPLOY, stages=BUILT[:1]))
    assert [(s.name, s.look) for s in shown] == [
        ("building", "done"),
        ("starting", "now"),
        ("checking", "later"),
        ("switching", "later"),
        ("draining", "later"),
    ]


def test_a_deploy_that_ended_shows_only_what_happened() -> None:
    ended = dataclasses.replace(DEPLOY, state=DeployState.LIVE, stages=BUILT)
    assert [(s.name, s.look, s.time) for s in stages(ended)] == [
        ("building", "done", "9.0s"),
        ("starting", "done", "1.0s"),
    ]


@pytest.mark.parametrize("recorded", [BUILT, BUILT[:1]])
def test_the_stage_that_failed_is_marked_with_or_without_its_time(recorded: tuple[StageTime, ...]) -> None:
    failed = dataclasses.replace(DEPLOY, state=DeployState.FAILED, failed_stage=DeployState.STARTING, stages=recorded)
    assert [(s.name, s.look) for s in stages(failed)] == [("building", "done"), ("starting", "failed")]


def test_the_bar_is_to_scale_without_gaps_and_hides_no_short_stage() -> None:
    times = (*BUILT, StageTime(DeployState.SWITCHING, 110.0, 0.0))
    shown = stages(dataclasses.replace(DEPLOY, state=DeployState.LIVE, stages=times))
    for one, next_ in itertools.pairwise(shown):
        assert one.x + one.width == pytest.approx(next_.x, abs=0.2)
    assert shown[-1].x + shown[-1].width == pytest.approx(BAR_WIDTH, abs=0.2)
    assert shown[-1].width == MIN_WIDTH
    assert shown[0].width / shown[1].width == pytest.approx(9, rel=0.05)


def test_a_running_deploy_has_taken_until_now() -> None:
    assert total_seconds(DEPLOY, now=112.0) == 12.0
    assert total_seconds(dataclasses.replace(DEPLOY, finished_at=105.0), now=112.0) == 5.0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-30, "just now"),
        (4, "just now"),
        (59, "59 s ago"),
        (60, "1 min ago"),
        (7199, "1 h ago"),
        (86400 * 40, "40 d ago"),
    ],
)
def test_ages_are_rounded_down(seconds: float, text: str) -> None:
    assert humanize.ago(1000.0, 1000.0 + seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0s"), (59.94, "59.9s"), (59.96, "1m 00s"), (185, "3m 05s"), (3720, "1h 02m")],
)
def test_durations_change_unit_without_a_sixty(seconds: float, text: str) -> None:
    assert humanize.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (84_000_000, "84 MB"), (1_500_000_000, "1.5 GB")]
)
def test_sizes_are_short(count: int, text: str) -> None:
    assert humanize.size(count) == text


def test_exact_times_are_utc() -> None:
    assert humanize.exact(0) == "1970-01-01T00:00:00Z"
