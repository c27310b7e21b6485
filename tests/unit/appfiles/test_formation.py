from __future__ import annotations

from gitship.appfiles import formation
from gitship.model import Container, Process, Release

WEB, WORKER = Process("web", port=80, quantity=1), Process("worker", quantity=0)
RELEASE = Release(7, 1, 3, None, "img", 0, {}, (WEB, WORKER), "push", "me", 0.0)


def container(process: str, index: int) -> Container:
    return Container(f"{process}{index}", f"shop.{process}.{index}.v3", 1, 7, process, index, "10.0.0.1", 80)


def test_a_new_release_replaces_everything() -> None:
    running = (container("web", 1),)
    plan = formation.replace_all(RELEASE, running, {"worker": 2})
    assert plan.start == ((WEB, 1), (WORKER, 2))
    assert plan.keep == () and plan.end == running
    assert plan.summary == "web x1, worker x2"


def test_scaling_up_starts_only_what_is_missing() -> None:
    running = (container("web", 1), container("worker", 1))
    plan = formation.adjust(RELEASE, running, {"web": 3, "worker": 1})
    assert plan.start == ((WEB, 2),)
    assert set(plan.keep) == set(running) and plan.end == ()


def test_scaling_down_ends_the_highest_indexes() -> None:
    running = tuple(container("web", i) for i in (2, 1, 3))
    plan = formation.adjust(RELEASE, running, {"web": 1})
    assert [c.index for c in plan.keep] == [1]
    assert [c.index for c in plan.end] == [2, 3]
    assert plan.start == ()


def test_a_process_that_the_release_lacks_ends() -> None:
    gone = container("cron", 1)
    plan = formation.adjust(RELEASE, (container("web", 1), gone), {})
    assert plan.end == (gone,)
