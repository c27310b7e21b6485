"""When a canary is promoted, and when not."""

from __future__ import annotations

import pytest

from gitship.appfiles.canary_rules import MIN_REQUESTS, CanaryPlan, CanaryVerdict, described, judge, parse
from gitship.model.traffic import Traffic, bucket

PLAN = CanaryPlan(5, 60)


def had(requests: int, errors: int = 0, took_s: float = 0.01) -> Traffic:
    traffic = Traffic(passes=requests, app_errors=errors)
    traffic.latency[bucket(took_s)] += requests
    return traffic


@pytest.mark.parametrize(
    ("text", "plan"),
    [
        ("5%", CanaryPlan(5, 120)), ("5% for 2m", CanaryPlan(5, 120)), ("0.5% for 90s", CanaryPlan(0.5, 90)),
        (" 25 % for 1 H ", CanaryPlan(25, 3600)), ("90%", CanaryPlan(90, 120)),
    ],
)  # fmt: skip
def test_a_plan_is_a_share_and_a_time(text: str, plan: CanaryPlan) -> None:
    assert parse(text) == plan


@pytest.mark.parametrize("text", ["", "5", "5 percent", "five%", "5% for", "5% for 2", "5% for 2 days", "-5%", "5%; x"])
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be a share of visitors, .5%"):
        parse(text)


@pytest.mark.parametrize("text", ["0%", "0.01%", "91%", "100%", "5% for 4s", "5% for 2h"])
def test_a_share_or_a_time_out_of_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"must (be|last) from"):
        parse(text)


@pytest.mark.parametrize(
    ("plan", "text"), [(CanaryPlan(5), "5% of visitors for 2m"), (CanaryPlan(0.5, 90), "0.5% of visitors for 90s")]
)
def test_a_plan_is_told_as_it_was_asked_for(plan: CanaryPlan, text: str) -> None:
    assert str(plan) == text


def test_a_good_release_is_promoted_at_the_end_and_not_before() -> None:
    assert judge(PLAN, 59, had(1000), had(50)).verdict is CanaryVerdict.WAIT
    assert judge(PLAN, 60, had(1000), had(50)).verdict is CanaryVerdict.PROMOTE


def test_a_failing_release_is_aborted_as_soon_as_it_is_certain() -> None:
    assert judge(PLAN, 1, had(100), had(10, errors=2)).verdict is CanaryVerdict.WAIT, "two errors are too few to tell"
    verdict = judge(PLAN, 1, had(100), had(15, errors=3))
    assert (verdict.verdict, verdict.reason) == (
        CanaryVerdict.ABORT, "3 of 15 requests failed (20.0%; 0.0% before)",
    )  # fmt: skip
    assert judge(PLAN, 1, had(0), had(3, errors=3)).verdict is CanaryVerdict.ABORT


def test_containers_that_do_not_answer_count_as_failing() -> None:
    assert judge(PLAN, 1, had(100), Traffic(failed=3, front_errors=3)).verdict is CanaryVerdict.ABORT


@pytest.mark.parametrize(
    ("old", "new", "aborted"),
    [
        (had(1000, 100), had(100, 15), False),  # 10 % before, 15 % now: not twice as many
        (had(1000, 100), had(100, 21), True),
        (had(1000, 1), had(1000, 15), False),  # 0.1 % before, 1.5 % now: within the margin
        (had(1000, 1), had(1000, 25), True),
    ],
)
def test_errors_count_against_those_of_the_old_release(old: Traffic, new: Traffic, aborted: bool) -> None:
    assert (judge(PLAN, 60, old, new).verdict is CanaryVerdict.ABORT) == aborted


@pytest.mark.parametrize(
    ("old_s", "new_s", "aborted"), [(0.1, 0.11, False), (0.1, 0.3, True), (0.001, 0.02, False), (0.04, 0.11, True)]
)
def test_a_release_that_is_much_slower_is_aborted_at_the_end(old_s: float, new_s: float, aborted: bool) -> None:
    old, new = had(1000, took_s=old_s), had(100, took_s=new_s)
    assert judge(PLAN, 59, old, new).verdict is CanaryVerdict.WAIT
    judgement = judge(PLAN, 60, old, new)
    assert (judgement.verdict is CanaryVerdict.ABORT) == aborted
    assert ("slower" in judgement.reason) == aborted


def test_with_too_few_requests_it_goes_on_and_in_the_end_says_so() -> None:
    few = MIN_REQUESTS - 1
    assert judge(PLAN, 60, had(1000), had(few)).verdict is CanaryVerdict.WAIT
    assert judge(PLAN, 179, had(1000), had(few)).verdict is CanaryVerdict.WAIT
    judgement = judge(PLAN, 180, had(1000), had(few, took_s=5))
    assert judgement.verdict is CanaryVerdict.PROMOTE
    assert f"only {few} requests" in judgement.reason
    assert judge(PLAN, 60, had(few), had(MIN_REQUESTS, took_s=5)).verdict is CanaryVerdict.PROMOTE, (
        "nothing to compare with"
    )


def test_figures_are_told_in_one_line() -> None:
    assert described(had(0)) == "0 requests, 0.0% failed"
    assert described(had(200, errors=1)).startswith("200 requests, 0.5% failed, p95 1")
