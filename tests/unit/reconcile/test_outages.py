"""When a container is out of service, and when it is back."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitship.engine.types import ContainerState
from gitship.model import Container, Process
from gitship.reconcile.outages import BACK_AFTER_S, Outages
from gitship.routing.desired_state import DesiredState
from gitship.store import Store

ONE = Container("c1", "shop.web.1.v1", 1, 1, "web", 1, "10.0.0.1", 5000)
TWO = Container("c2", "shop.web.2.v1", 1, 1, "web", 2, "10.0.0.2", 5000)


class Bench:
    def __init__(self) -> None:
        self.now = 100.0
        self.outages = Outages(lambda: self.now)

    def look(self, status: str, health: str = "") -> set[str]:
        """The first one is so, the second is well; who is out then."""
        states = [ContainerState("c1", "", {}, status, health=health), ContainerState("c2", "", {}, "running")]
        self.outages.look([ONE, TWO], states)
        return set(self.outages.out())


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize("status", ["restarting", "exited", "created", "paused", "dead"])
def test_one_that_does_not_run_is_out(bench: Bench, status: str) -> None:
    assert bench.look(status) == {"c1"}


def test_one_that_is_gone_is_out(bench: Bench) -> None:
    bench.outages.look([ONE], [])
    assert bench.outages.out() == {"c1"}


def test_one_that_is_unhealthy_is_out_and_one_whose_health_is_not_known_yet_is_not(bench: Bench) -> None:
    assert bench.look("running", "starting") == bench.look("running", "healthy") == set()
    assert bench.look("running", "unhealthy") == {"c1"}


def test_it_is_back_when_it_has_stayed_up_for_a_while(bench: Bench) -> None:
    bench.look("restarting")
    assert bench.look("running") == {"c1"}
    bench.now += BACK_AFTER_S - 0.1
    assert bench.look("running") == {"c1"}
    bench.now += 0.2
    assert bench.look("running") == set()


def test_a_crash_between_two_looks_begins_the_while_anew(bench: Bench) -> None:
    bench.look("restarting")
    bench.look("running")
    bench.now += BACK_AFTER_S
    bench.outages.ended(ONE)
    assert bench.look("running") == {"c1"}
    bench.now += BACK_AFTER_S
    assert bench.look("running") == set()


def test_what_is_live_no_more_is_forgotten(bench: Bench) -> None:
    bench.look("exited")
    bench.outages.look([TWO], [])
    bench.outages.look([ONE, TWO], [ContainerState(c, "", {}, "running") for c in ("c1", "c2")])
    assert bench.outages.out() == {"c2"}


def test_apps_with_a_change_are_told_once(bench: Bench) -> None:
    assert bench.outages.changed() == set()
    bench.look("exited")
    assert bench.outages.changed() == {1}
    bench.look("exited")
    assert bench.outages.changed() == set()
    bench.look("running")
    bench.now += BACK_AFTER_S
    bench.look("running")
    assert bench.outages.changed() == {1}


def test_traffic_goes_to_those_that_serve_and_to_all_when_none_does(tmp_path: Path) -> None:
    store = Store(tmp_path / "gitship.db")
    app = store.create_app("shop")
    release = store.create_release(
        app.id, commit=None, image_id="i", image_bytes=1, config={}, processes=(Process("web", port=5000),),
        cause="push", created_by="ada",
    )  # fmt: skip
    store.set_live(app.id, release.id, [ONE, TWO])
    out: set[str] = set()
    wanted = DesiredState(store, "example.com", lambda: out)

    def addresses() -> list[str]:
        return [backend.address for backend in wanted.front(store.app("shop")).backends]

    assert addresses() == ["10.0.0.1", "10.0.0.2"]
    out = {"c1"}
    assert addresses() == ["10.0.0.2"]
    out = {"c1", "c2"}
    assert addresses() == ["10.0.0.1", "10.0.0.2"]
    store.close()
