"""Who has the last word about a canary: people, figures, and nobody without figures."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gitship.appfiles.canary_rules import CanaryJudgement, CanaryPlan, CanaryVerdict
from gitship.deploy.canary import Canary
from gitship.errors import DeployCanceled, DeployError, EngineError
from gitship.front.canary_vcl import CanaryShare
from gitship.front.traffic_counters import TrafficCounters
from gitship.model import WEB, Container, Process, Release
from gitship.routing.active_canaries import ActiveCanaries, ActiveCanary

APP = 7
PLAN = CanaryPlan(50, 0.2)
PROMOTE = CanaryJudgement(CanaryVerdict.PROMOTE, "all is well")


class NoLogs:
    def logs(self, container: str, tail: int) -> None:
        raise EngineError("Docker is down")


class World:
    """v2 is tried, v1 serves the rest."""

    def __init__(self, *, counting: bool = True) -> None:
        release = Release(2, APP, 2, None, "sha256:2", 1, {}, (Process(WEB),), "", "ada", 0.0)
        web = Container("2", "shop.web.1.v2", APP, 2, WEB, 1, "10.0.0.2", 5000)
        self.active_canaries = ActiveCanaries()
        self.trial = ActiveCanary(12, APP, release, (web,), CanaryShare("12", 50), 60)
        self.active_canaries.begin(self.trial)
        self.tally = TrafficCounters()
        self.cancel = threading.Event()
        self.rollout: Any = SimpleNamespace(
            previous=SimpleNamespace(label="v1"), release=release, wanted=[web], job=SimpleNamespace(cancel=self.cancel)
        )
        none = cast(Any, None)
        self.canary = Canary(
            cast(Any, NoLogs()), none, none, none, self.active_canaries, none, self.tally, lambda: counting, 1.0
        )

    def watch(self, plan: CanaryPlan = PLAN) -> CanaryJudgement:
        stage: Any = SimpleNamespace(detail=lambda *words: None)
        with self.tally.watching(APP) as watch:
            threading.Timer(0.05, self.tally.take, [b"7 v2 pass 500 0.01 100\n" * 3]).start()
            return self.canary._watch(self.rollout, plan, self.trial, watch, stage)

    def last_word(self, judgement: CanaryJudgement = PROMOTE) -> str:
        return self.canary._last_word(self.rollout, self.trial, judgement)


def test_figures_that_come_in_end_it() -> None:
    world = World()
    judgement = world.watch()
    assert judgement.verdict is CanaryVerdict.ABORT
    with pytest.raises(DeployError, match="3 of 3 requests failed"):
        world.last_word(judgement)


def test_it_is_canceled_as_any_deploy() -> None:
    world = World()
    world.cancel.set()
    with pytest.raises(DeployCanceled):
        world.watch()


@pytest.mark.parametrize("promote", [True, False])
def test_people_come_before_figures_and_the_first_of_them_counts(promote: bool) -> None:
    world = World()
    assert world.active_canaries.decide(APP, "ada", promote=promote) is world.trial
    assert world.active_canaries.decide(APP, "bob", promote=not promote) is None
    assert world.watch(CanaryPlan(50, 1e6)).verdict is CanaryVerdict.WAIT
    if promote:
        assert world.last_word() == "Canary promoted by ada"
    else:
        with pytest.raises(DeployError, match="aborted by ada"):
            world.last_word()


def test_after_the_last_word_nobody_can_decide() -> None:
    world = World()
    assert world.last_word() == "Canary promoted: all is well"
    assert world.active_canaries.decide(APP, "ada", promote=False) is None


def test_a_release_is_not_promoted_when_nobody_was_counted() -> None:
    with pytest.raises(DeployError, match="varnishncsa is not running"):
        World(counting=False).last_word()
