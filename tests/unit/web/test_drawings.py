"""Plots, small plots and the bar of 90 days: what is drawn of figures that are known."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence

import pytest

from gitship.model import UptimeDay
from gitship.model.traffic import Span, Traffic, bucket, no_latency
from gitship.web import humanize, traffic_chart, uptime_bar
from gitship.web.traffic_chart import DAY, HOUR, MONTH, Reach
from gitship.web.usage import Processor, spark

NOW = 1_700_000_000.0 + 1234


def took(seconds: float, requests: int, **counts: int) -> Traffic:
    latency = no_latency()
    latency[bucket(seconds)] = requests
    return Traffic(misses=requests - sum(counts.get(n, 0) for n in ("hits", "stale")), latency=latency, **counts)


@pytest.mark.parametrize(
    ("values", "most", "path"),
    [
        ([0, 0, 0], 0.0, "M0 18h4"),
        ([1, 2, 2, 2, 1], 0.0, "M0 9l2-9h4l2 9"),
        ([0, 3, 1, 2], 0.0, "M0 18l2-18 2 12 2-6"),
        ([0.5, 1.0], 1.0, "M0 9l2-9"),
        ([0.5, 0.5], 1.0, "M0 9h2"),
        ([None, 1, None, None, 1, 1], 0.0, "M2 0h0M8 0h2"),
        ([None], 0.0, ""),
    ],
)
def test_a_small_plot_is_written_short(values: Sequence[float | None], most: float, path: str) -> None:
    assert spark(values, most) == path


@pytest.mark.parametrize("reach", [HOUR, DAY, MONTH])
def test_every_request_is_in_the_step_of_its_time(reach: Reach) -> None:
    begin = reach.begin(NOW)
    spans = [Span(begin + n * reach.step_s, reach.step_s, Traffic(misses=n + 1)) for n in range(reach.steps)]
    outside = [Span(begin - 1, 1, Traffic(misses=1000)), Span(begin + reach.seconds, 60, Traffic(misses=1000))]
    steps = traffic_chart.steps(reach, [*outside, *spans], NOW)
    assert [s.traffic.misses for s in steps] == list(range(1, reach.steps + 1))
    assert steps[-1].start <= NOW
    assert steps[-1].start + reach.step_s + reach.step_s * (not reach.running) > NOW


def test_a_step_that_is_not_over_has_the_rate_of_what_is_over_of_it() -> None:
    steps = traffic_chart.steps(DAY, [Span(NOW // 3600 * 3600, 3600, Traffic(misses=600))], NOW)
    drawn = traffic_chart.plot(DAY, steps, [], NOW)
    assert steps[-1].seconds == NOW % 3600
    assert drawn.panels[0].most == humanize.rate(600 / (NOW % 3600))
    assert drawn.wide == round(23 + NOW % 3600 / 3600, 3)  # it ends now


def test_a_plot_says_what_it_draws() -> None:
    begin = HOUR.begin(NOW)
    spans = [Span(begin + 60, 60, took(0.05, 120, hits=60, stale=30, app_errors=6))]
    drawn = traffic_chart.plot(HOUR, traffic_chart.steps(HOUR, spans, NOW), [], NOW)
    requests, errors, times = drawn.panels
    assert (requests.most, errors.most) == ("2.0/s", "0.1/s")
    assert requests.told[1].endswith("2.0/s, 75 % from the cache, 30 of them expired")
    assert errors.told[1].endswith("6 answers with 5xx, 5.0 %")
    assert times.told[0].endswith("no requests")
    assert [(name, path) for name, _, path in requests.layers] == [
        ("all", "M0 100H1V0H2V100H59V100Z"), ("cached", "M0 100H1V25H2V100H59V100Z"),
        ("stale", "M0 100H1V75H2V100H59V100Z"),
    ]  # fmt: skip
    assert times.layers[1][2].startswith("M1 0H2")
    assert drawn.whole.requests == 120


def test_releases_are_marked_where_they_went_live_and_labels_do_not_lie_on_each_other() -> None:
    begin = HOUR.begin(NOW)
    at = [begin - 5, begin + 0.25 * HOUR.seconds, begin + 0.26 * HOUR.seconds, begin + 0.5 * HOUR.seconds, NOW]
    live = [(when, f"v{n}", n) for n, when in enumerate(at)]
    marks = traffic_chart.plot(HOUR, traffic_chart.steps(HOUR, [], NOW), live[::-1], NOW).marks
    assert [(m.x, m.name, m.label, m.deploy_id) for m in marks] == [
        (25.0, "v1", "v1", 1), (26.0, "v2", "", 2), (50.0, "v3", "v3", 3),
        (100.0, "v4", "v4", 4),
    ]  # fmt: skip


def test_the_bar_of_90_days_joins_days_that_look_alike_and_tells_the_bad_ones() -> None:
    today = 20_000
    days = [UptimeDay(1, today - n, up_s=86_400.0) for n in range(10)]
    days[3] = UptimeDay(1, today - 3, up_s=86_340.0, down_s=60.0)
    days[5] = UptimeDay(1, today - 5, up_s=6_400.0, down_s=80_000.0)
    days[7] = UptimeDay(1, today - 7, off_s=86_400.0)
    drawn = uptime_bar.bar([*days, UptimeDay(1, today - 90, down_s=9.0)], today)
    assert drawn.runs == {"unknown": "M0 5h80", "up": "M80 5h2M83 5h1M85 5h1M87 5h3", "off": "M82 5h1"}
    assert [(d.x, d.look, d.told) for d in drawn.bad] == [
        (84, "down", "29 Sep: down for 22h 13m"), (86, "partly", "1 Oct: down for 1m 00s"),
    ]  # fmt: skip
    assert drawn.told == "89.7 %"
    assert "29 Sep: down for 22h 13m; 1 Oct" in drawn.alt


def test_nothing_known_is_no_uptime() -> None:
    drawn = uptime_bar.bar([], 20_000)
    assert (drawn.told, drawn.bad, drawn.runs) == ("not known yet", (), {"unknown": "M0 5h90"})


@pytest.mark.parametrize(
    ("share", "told"), [(1.0, "100 %"), (0.999999, "99.99 %"), (0.5, "50 %"), (0.99951, "99.95 %"), (0.0, "0 %")]
)
def test_only_the_whole_is_100_percent(share: float, told: str) -> None:
    assert humanize.percent(share) == told


@pytest.mark.parametrize(
    ("per_s", "told"),
    [(120.4, "120/s"), (2.04, "2.0/s"), (0.1, "0.1/s"), (0.05, "3.0/min"), (0.0005, "1.8/h"), (0, "0/s")],
)
def test_a_rate_is_never_0_when_something_came(per_s: float, told: str) -> None:
    assert humanize.rate(per_s) == told


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.0042, "4.2 ms"), (0.084, "84 ms"), (1.26, "1.3 s"), (0.9999, "1.0 s")]
)
def test_answer_times_have_two_digits(seconds: float, told: str) -> None:
    assert humanize.quick(seconds) == told


def test_what_is_still_to_come_is_told_so() -> None:
    now = time.time()
    assert humanize.until(now + 6.2 * 86_400, now) == "in 6 d"
    assert humanize.until(now - 120, now) == "2 min ago"
    assert humanize.until(now + 2, now) == "just now"


def test_processors_are_as_busy_as_between_two_looks() -> None:
    readings = iter([(100.0, 1000.0), (150.0, 1100.0), (150.0, 1200.0), (250.0, 1300.0)])
    processor = Processor(lambda: next(readings))
    assert [processor.percent() for _ in range(3)] == [50.0, 0.0, 100.0]
    assert 0 <= (Processor().percent() or 0) <= 100


def test_where_the_system_does_not_tell_nothing_is_told() -> None:
    def refused() -> tuple[float, float]:
        raise FileNotFoundError("/proc/stat")

    assert Processor(refused).percent() is None


def test_paths_hold_only_numbers_and_letters_of_paths() -> None:
    values = list(itertools.islice(itertools.cycle([0.1, 3.0, 7.5]), 29))
    assert set(spark(values)) <= set("MlhHVZ0123456789 -")
