"""When crashes make a loop, how often that is told, and when it is over."""

from __future__ import annotations

from gitship.containers import crash_loops
from gitship.deploy.auto_rollback_rules import CRASHES, MIN_REQUESTS, crash_loop, too_many_errors, trouble
from gitship.model import ContainerEvent, ContainerEventKind
from gitship.model.traffic import Traffic


def crash(at: float, *, container: str = "shop.web.1.v2", release: int = 2) -> ContainerEvent:
    return ContainerEvent(1, container, container, "web", release, at, ContainerEventKind.CRASHED, 3, "exit code 3", 1)


def loop(at: float) -> ContainerEvent:
    return ContainerEvent(1, "shop.web.1.v2", "shop.web.1.v2", "web", 2, at, ContainerEventKind.CRASH_LOOP, None, "...")


def test_the_third_crash_within_a_while_makes_it_a_loop() -> None:
    assert crash_loops.told_now([crash(0), crash(1)], 1) == ""
    said = crash_loops.told_now([crash(0), crash(1), crash(3)], 3)
    assert said.startswith("crashed 3 times within 3 s; it is restarted after increasing delays")


def test_crashes_far_apart_are_none() -> None:
    assert crash_loops.told_now([crash(0), crash(100), crash(200)], 200) == ""


def test_a_loop_is_told_once_until_there_was_peace() -> None:
    first = [crash(0), crash(1), crash(3), loop(3)]
    assert crash_loops.told_now([*first, crash(9), crash(20), crash(60)], 60) == ""
    later = [crash(at) for at in (500, 501, 503)]
    assert crash_loops.told_now([*first, *later], 503) != ""


def test_a_loop_of_before_the_clock_was_set_back_hides_no_new_one() -> None:
    before = [crash(5000), crash(5001), crash(5003), loop(5003)]
    assert not crash_loops.is_looping(before, 1403)
    new = [*before, crash(1400), crash(1401), crash(1403)]
    assert crash_loops.told_now(new, 1403) != ""
    new.append(loop(1403))
    assert crash_loops.is_looping(new, 1404) and crash_loops.told_now([*new, crash(1409)], 1409) == ""


def test_it_is_looping_until_it_has_stayed_up() -> None:
    events = [crash(0), crash(1), crash(3), loop(3), crash(40)]
    assert crash_loops.is_looping(events, 50)
    assert not crash_loops.is_looping(events, 40 + crash_loops.WITHIN_S)
    assert not crash_loops.is_looping([*events, crash(900)], 901)  # one crash, much later
    assert not crash_loops.is_looping([crash(0)], 1)


def test_a_release_is_bad_when_one_of_its_containers_crashes_again_and_again() -> None:
    other = [crash(n, release=1) for n in range(9)] + [crash(n, container=f"shop.web.{n}.v2") for n in range(9)]
    assert crash_loop(other, 2) == ""
    assert crash_loop([crash(n) for n in range(CRASHES)], 2) == "shop.web.1.v2 crashed 3 times, last with exit code 3"


def test_a_release_is_bad_when_more_than_a_share_of_enough_requests_fails() -> None:
    assert too_many_errors(Traffic(misses=MIN_REQUESTS - 1, app_errors=MIN_REQUESTS - 1), 50) == ""
    assert too_many_errors(Traffic(misses=40, app_errors=20), 50) == ""
    assert too_many_errors(Traffic(misses=30, failed=10, app_errors=11, front_errors=10), 50) == (
        "21 of 40 requests failed (52%)"
    )
    assert too_many_errors(Traffic(misses=40, app_errors=40), 0) == ""
    assert trouble([], 2, Traffic(misses=40, app_errors=40), 50) == "40 of 40 requests failed (100%)"
