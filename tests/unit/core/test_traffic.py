"""Traffic: what is counted, and what the figures say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitship.model.traffic import (
    LATENCY_BOUNDS_S,
    LATENCY_BUCKETS,
    Traffic,
    bucket,
    together,
)


def took(*seconds: float) -> Traffic:
    traffic = Traffic(misses=len(seconds))
    for time in seconds:
        traffic.latency[bucket(time)] += 1
    return traffic


@pytest.mark.parametrize(("seconds", "number"), [(0.0, 0), (0.000099, 0), (0.0001, 1), (0.0002, 4), (1e9, 63)])
def test_a_bucket_has_every_time(seconds: float, number: int) -> None:
    assert bucket(seconds) == number


@given(st.floats(0, 165))
def test_a_time_is_below_its_buckets_bound_and_not_below_the_one_before(seconds: float) -> None:
    number = bucket(seconds)
    assert seconds <= LATENCY_BOUNDS_S[number] * 1.0001
    assert number == 0 or seconds >= LATENCY_BOUNDS_S[number - 1] * 0.9999


@given(st.lists(st.floats(0.0002, 100), min_size=1, max_size=200), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_percentile_is_right_to_within_a_bucket(times: list[float], share: float) -> None:
    found = took(*times).percentile(share)
    exact = sorted(times)[max(0, -(-int(share * 100) * len(times) // 100) - 1)]
    assert found is not None
    assert exact / 1.27 <= found <= exact * 1.27


def test_nothing_has_no_ratio_and_no_percentile() -> None:
    assert (Traffic().hit_ratio, Traffic().error_ratio, Traffic().percentile(0.5)) == (None, None, None)


def test_what_the_app_never_sees_does_not_count_against_the_cache() -> None:
    traffic = Traffic(hits=6, stale=2, misses=1, passes=1, own=90, pipes=5)
    assert traffic.hit_ratio == 0.8
    assert traffic.requests == 105


def test_sums_and_the_stored_form_lose_nothing() -> None:
    one, other = took(0.001, 0.5), Traffic(hits=3, app_errors=1, front_errors=2, sent_bytes=10**12, failed=2)
    whole = together([one, other])
    assert (whole.requests, whole.errors, whole.sent_bytes) == (7, 3, 10**12)
    assert Traffic.from_json(whole.to_json()) == whole
    assert len(whole.latency) == LATENCY_BUCKETS
    assert one == took(0.001, 0.5), "what is added up stays as it is"
