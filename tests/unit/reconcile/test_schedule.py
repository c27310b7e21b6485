"""What failed is tried again soon, and ever more seldom; what is asked for in the middle of a round is not lost."""

from __future__ import annotations

import pytest

from gitship.reconcile.schedule import AGAIN_S, INTERVAL_S, LOOK_AGAIN_S, WHOLE_S, ReconcileSchedule


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_first_is_whole_and_then_one_every_minute(clock: Clock) -> None:
    rounds = ReconcileSchedule(clock)
    assert rounds.whole
    rounds.begun_whole()
    rounds.succeeded()
    assert not rounds.whole
    assert rounds.rest_s(soon=False) == INTERVAL_S
    assert rounds.rest_s(soon=True) == LOOK_AGAIN_S
    clock.now += WHOLE_S - 1
    assert not rounds.whole
    assert rounds.rest_s(soon=False) == 1
    clock.now += 1
    assert rounds.whole


def test_what_failed_does_not_wait_for_the_minute_but_longer_each_time(clock: Clock) -> None:
    rounds = ReconcileSchedule(clock)
    waited = []
    for _ in range(7):
        rounds.begun_whole()
        rounds.failed()
        assert not rounds.whole
        waited.append(0.0)
        while not rounds.whole:
            clock.now += 1
            waited[-1] += 1
    assert waited == [AGAIN_S, 4, 8, 16, 32, WHOLE_S, WHOLE_S]
    rounds.begun_whole()
    rounds.succeeded()
    rounds.failed()  # a route, in a round that was not whole
    assert rounds.rest_s(soon=False) == AGAIN_S


def test_what_is_asked_for_while_a_round_is_under_way_is_done_after_it(clock: Clock) -> None:
    for ends in (ReconcileSchedule.succeeded, ReconcileSchedule.failed):
        rounds = ReconcileSchedule(clock)
        rounds.begun_whole()
        rounds.ask_whole()
        ends(rounds)
        assert rounds.whole and rounds.rest_s(soon=False) == 0
