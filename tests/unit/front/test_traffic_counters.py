"""Lines of varnishncsa become figures; none of them is trusted."""

from __future__ import annotations

import pytest

from gitship.front.traffic_counters import KEPT_S, TrafficCounters, TrafficMinute, parse
from gitship.model.traffic import Traffic, together

NOW = 1_700_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def lines(*texts: str) -> bytes:
    return "".join(f"{text}\n" for text in texts).encode()


def test_each_way_to_be_answered_is_counted_as_such() -> None:
    found = parse(
        lines(
            "7 v12 hit 200 0.000100 300", "7 v12 stale 200 0.000100 300", "7 v12 miss 200 0.010000 300",
            "7 v12 pass 500 0.010000 300", "7 v12 synth 503 0.000100 300", "7 v12 error 503 0.000100 300",
            "7 v12 pipe - 0.000030 9000",
        )
    )  # fmt: skip
    traffic = together(found.values())
    assert {key: t.requests for key, t in found.items()} == {(7, "v12", True): 3, (7, "v12", False): 4}
    assert (traffic.hits, traffic.stale, traffic.misses, traffic.passes) == (1, 1, 1, 1)
    assert (traffic.own, traffic.failed, traffic.pipes, traffic.requests) == (1, 1, 1, 7)
    assert (traffic.app_errors, traffic.front_errors) == (1, 2)
    assert traffic.sent_bytes == 6 * 300 + 9000
    assert sum(traffic.latency) == 6, "a websocket has no time to its first byte"


def test_apps_and_releases_are_kept_apart() -> None:
    found = parse(lines("7 v12 miss 200 0.01 5", "7 v13 miss 500 0.01 5", "8 v1 hit 200 0.01 5"))
    assert {key: (t.requests, t.errors) for key, t in found.items()} == {
        (7, "v12", True): (1, 0), (7, "v13", True): (1, 1), (8, "v1", False): (1, 0),
    }  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [
        "", "- 404 0.0001 300", "0 v0 synth 502 0.0001 300", "7 v12 hit", "7 v12 hit 200 - 300", "7 v12 hit 200 0.1 -",
        "7 v12 dance 200 0.1 3", "seven v12 hit 200 0.1 3", "7 v12 hit 200 nan 3 4", "\x00\xff",
    ],
)  # fmt: skip
def test_a_line_of_no_app_or_of_no_sense_is_passed_over(line: str) -> None:
    assert list(parse(lines(line, "7 v1 hit 200 0.1 3"))) == [(7, "v1", False)]


def test_an_hour_is_kept_in_steps_and_no_longer() -> None:
    clock = Clock()
    tally = TrafficCounters(clock)
    for second in range(KEPT_S + 600):
        tally.take(lines("7 v1 hit 200 0.0002 100"))
        clock.now += 1
        if second % 60 == 0:
            tally.keep_only([7])
    steps = tally.steps(7, KEPT_S)
    assert {s.seconds for s in steps} == {10, 60}
    assert [s.start for s in steps] == sorted({s.start for s in steps})
    assert len(steps) <= 60 + 60
    assert KEPT_S - 60 <= sum(s.traffic.hits for s in steps) <= KEPT_S
    assert sum(s.traffic.hits for s in tally.steps(7, 60)) == 60
    assert sum(s.traffic.hits for s in tally.steps(7, 600)) == 600
    assert tally.totals()[7].hits == KEPT_S + 600


def test_an_app_that_is_gone_is_forgotten() -> None:
    tally = TrafficCounters(Clock())
    tally.take(lines("7 v1 hit 200 0.1 3", "8 v1 hit 200 0.1 3"))
    tally.keep_only([8])
    assert tally.totals().keys() == {8}


def test_what_could_not_be_saved_is_saved_the_next_time() -> None:
    clock = Clock()
    tally = TrafficCounters(clock)
    tally.take(lines("7 v1 hit 200 0.1 3"))
    with pytest.raises(OSError, match="full"):
        tally.save(_refuse)
    tally.take(lines("7 v1 hit 200 0.1 3"))
    clock.now += 60
    tally.take(lines("7 v1 hit 200 0.1 3"))
    written: list[TrafficMinute] = []
    tally.save(written.extend)
    first = NOW // 60 * 60
    assert [(m.start, m.traffic.hits) for m in written] == [(first, 2), (first + 60, 1)]
    tally.save(lambda minutes: pytest.fail("nothing is left to save"))


def _refuse(minutes: object) -> None:
    raise OSError("disk full")


def test_the_last_hour_is_taken_up_again() -> None:
    clock = Clock()
    tally = TrafficCounters(clock)
    tally.restore([TrafficMinute(7, int(NOW) - 120, Traffic(hits=5)), TrafficMinute(7, int(NOW) - 60, Traffic(hits=2))])
    tally.take(lines("7 v1 hit 200 0.1 3"))
    assert sum(s.traffic.hits for s in tally.steps(7, 600)) == 8
    assert tally.totals()[7].hits == 1, "a total grows from the start of this gitship"


def test_a_watch_sees_each_release_of_its_app_from_then_on() -> None:
    tally = TrafficCounters(Clock())
    tally.take(lines("7 v1 miss 200 0.1 3"))
    with tally.watching(7) as watch:
        tally.take(lines("7 v1 miss 200 0.1 3", "7 v2 miss 500 0.1 3", "8 v2 miss 200 0.1 3"))
        tally.take(lines("7 v1 hit 200 0.1 3", "7 v1 synth 503 0.1 3"))  # no release has done these
        assert tally.seen(watch, "v1").requests == 1
        assert (tally.seen(watch, "v2").requests, tally.seen(watch, "v2").errors) == (1, 1)
        assert tally.seen(watch, "v3").requests == 0
    tally.take(lines("7 v2 miss 500 0.1 3"))
    assert tally.seen(watch, "v2").requests == 1


@pytest.mark.parametrize("back_s", [30.0, 3600.0, 86_400.0])
def test_after_the_clock_was_set_back_old_errors_are_no_news(back_s: float) -> None:
    clock = Clock()
    tally = TrafficCounters(clock)
    tally.take(lines("7 v1 error 503 0.1 3"))
    clock.now -= back_s
    assert tally.steps(7, 600) == []
    tally.take(lines("7 v1 hit 200 0.1 3"))
    [step] = tally.steps(7, 600)
    assert (step.start, step.traffic.hits, step.traffic.errors) == (clock.now // 10 * 10, 1, 0)
    clock.now += back_s + 60
    assert together(s.traffic for s in tally.steps(7, 600 + back_s)).errors == 0, "it does not come back"
    assert tally.totals()[7].errors == 1


def test_what_was_kept_from_before_the_clock_was_set_back_goes() -> None:
    clock = Clock()
    tally = TrafficCounters(clock)
    tally.take(lines("7 v1 error 503 0.1 3"))
    clock.now -= 3600
    tally.keep_only([7])
    clock.now += 3600
    assert tally.steps(7, 600) == []
