"""How long apps are counted as up, down and neither; by a clock of the test's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gitship.appsettings import MAINTENANCE, STOPPED
from gitship.config import Settings
from gitship.errors import EngineError
from gitship.front.gate import Maintenance
from gitship.model import GITSHIP, App, Container, Process, UptimeDay
from gitship.model.traffic import Traffic
from gitship.model.uptime import DAY_S, share
from gitship.observe import uptime
from gitship.observe.app_state import unanswered
from gitship.observe.uptime import MOST_S, SAMPLE_S, Uptime
from gitship.store import Store
from gitship.store.uptime import KEPT_DAYS
from tests.unit.memory.server import MemoryServer
from tests.waiting import wait_until

TODAY = 20_000


class Counted:
    """An app with two containers of web and one of worker, and what is counted of it."""

    def __init__(self, directory: Path) -> None:
        self.store = Store(directory / "gitship.db")
        self.memory = MemoryServer(self.store, Settings(data_dir=directory))
        self.now = TODAY * DAY_S + 3600.0
        self.uptime = self.new()
        self.app = self.go_live("shop")

    def new(self) -> Uptime:
        operations = self.memory.operations
        return Uptime(self.store, operations.facts, operations.pauses, operations.stats, lambda: self.now)

    def go_live(self, name: str) -> App:
        app = self.store.create_app(name)
        release = self.store.create_release(
            app.id, commit="c" * 40, image_id="sha256:1", image_bytes=1, config={}, processes=(Process("web"),),
            cause="push", created_by="ada",
        )  # fmt: skip
        containers = [
            Container(
                f"{name}-{process}-{n}", f"{name}.{process}.{n}.v1", app.id, release.id, process, n, "10.0.0.1", 1
            )
            for process, n in (("web", 1), ("web", 2), ("worker", 1))
        ]
        self.store.set_live(app.id, release.id, containers)
        return self.store.app(name)

    def say(self, **states: str) -> None:
        self.memory.facts.states = {f"shop-{name.replace('_', '-')}": word for name, word in states.items()}

    def look(self, seconds: float = SAMPLE_S) -> None:
        """Time goes by, then it looks."""
        self.now += seconds
        self.uptime.sample()

    def day(self, day: int = TODAY) -> UptimeDay:
        self.uptime.save()
        found = [d for d in self.store.uptime(day, self.app.id) if d.day == day]
        return found[0] if found else UptimeDay(self.app.id, day)


@pytest.fixture
def counted(tmp_path: Path) -> Iterator[Counted]:
    counted = Counted(tmp_path)
    counted.uptime.sample()
    yield counted
    counted.memory.close()


def test_time_in_which_visitors_are_answered_is_up(counted: Counted) -> None:
    counted.look()
    counted.say(web_1="exited", worker_1="exited")  # degraded
    counted.look()
    assert counted.day() == UptimeDay(counted.app.id, TODAY, up_s=2 * SAMPLE_S)


def test_without_a_web_container_it_is_down_and_again_up_with_one(counted: Counted) -> None:
    counted.say(web_1="exited", web_2="restarting")
    counted.look()
    counted.look()
    counted.say()
    counted.look()
    assert counted.day() == UptimeDay(counted.app.id, TODAY, up_s=SAMPLE_S, down_s=2 * SAMPLE_S)


def test_what_its_owner_has_put_aside_counts_neither_way(counted: Counted) -> None:
    counted.store.set_setting(counted.app.id, STOPPED, True)
    counted.say(web_1="exited", web_2="exited", worker_1="exited")
    counted.look()
    counted.store.set_setting(counted.app.id, STOPPED, None)
    counted.store.set_setting(counted.app.id, MAINTENANCE, Maintenance())
    counted.look()
    assert counted.day() == UptimeDay(counted.app.id, TODAY, off_s=2 * SAMPLE_S)


def test_a_deploy_under_way_and_a_pause_take_nothing_from_it(counted: Counted) -> None:
    counted.memory.hold()
    counted.memory.push("shop")
    counted.memory.operations.pauses.pause(counted.app, 30, GITSHIP)
    counted.look()
    assert counted.day().up_s == SAMPLE_S


def test_of_what_nobody_saw_nothing_is_counted(counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent() -> dict[str, str]:
        raise EngineError("Docker does not answer", "start it")

    counted.look(MOST_S + 1)  # the machine slept
    monkeypatch.setattr(counted.memory.facts, "containers", silent)
    with pytest.raises(EngineError):
        counted.look()
    monkeypatch.undo()
    counted.uptime = counted.new()  # a restart
    counted.look()
    counted.now -= 500  # a clock that was set back
    counted.look(0)
    assert counted.day() == UptimeDay(counted.app.id, TODAY)


def test_it_is_written_down_though_the_clock_was_set_back(counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uptime, "SAMPLE_S", 0.01)
    monkeypatch.setattr(uptime, "SAVE_S", 0.02)
    counted.look()
    counted.now -= DAY_S
    counted.uptime.start()
    try:
        wait_until(lambda: counted.store.uptime(TODAY, counted.app.id), 20, "it is in the store")
    finally:
        counted.uptime.stop()


def test_when_varnish_does_not_answer_every_app_is_down(counted: Counted) -> None:
    counted.memory.facts.front = False
    counted.look()
    assert counted.day().down_s == SAMPLE_S


def test_an_app_whose_visitors_get_error_pages_is_down_though_its_containers_run(counted: Counted) -> None:
    counted.memory.tally.take(f"{counted.app.id} v1 error 503 0.001 300\n".encode() * 3)
    counted.look()
    assert counted.day().down_s == SAMPLE_S


def test_most_visitors_without_an_answer_is_an_outage_one_is_none() -> None:
    assert unanswered({1: Traffic(failed=2), 2: Traffic(failed=3, hits=4), 3: Traffic(failed=3, misses=3)}) == {3}
    assert unanswered({1: Traffic(failed=5, stale=6)}) == set()  # old pages are answers
    assert unanswered({1: Traffic(failed=5, own=100)}) == {1}  # redirects are not the app's


def test_a_container_younger_than_dockers_answer_is_not_missing(
    counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    def switched_meanwhile() -> dict[str, str]:
        found = dict.fromkeys((c.id for c in counted.store.containers()), "running")
        live = counted.store.app("shop").live_release or 0
        new = Container("new", "shop.web.1.v2", counted.app.id, live, "web", 1, "10.0.0.2", 1)
        counted.store.set_live(counted.app.id, live, [new])
        return found

    monkeypatch.setattr(counted.memory.facts, "containers", switched_meanwhile)
    counted.look()
    assert counted.day() == UptimeDay(counted.app.id, TODAY, up_s=SAMPLE_S)


def test_days_are_apart_and_old_ones_go(counted: Counted) -> None:
    counted.look()
    for _ in range(KEPT_DAYS):
        counted.uptime.save()
        counted.now += DAY_S
        counted.uptime.sample()
        counted.look()
    counted.uptime.save()
    days = counted.store.uptime(0, counted.app.id)
    assert [d.day for d in days] == list(range(TODAY + 1, TODAY + KEPT_DAYS + 1))
    assert {d.up_s for d in days} == {SAMPLE_S}


def test_an_app_that_is_destroyed_takes_its_days_with_it(counted: Counted) -> None:
    counted.look()
    counted.uptime.save()
    counted.look()
    counted.store.delete_app(counted.app.id)
    counted.uptime.save()  # which still has seconds of it
    assert counted.store.uptime(0) == []


def test_stopping_writes_down_what_was_counted(counted: Counted) -> None:
    counted.look()
    counted.uptime.stop()
    assert counted.store.uptime(TODAY)[0].up_s == SAMPLE_S


def test_the_share_is_of_what_counts() -> None:
    assert share([]) is None
    assert share([UptimeDay(1, 1, off_s=5.0)]) is None
    assert share([UptimeDay(1, 1, up_s=9.0, off_s=50.0), UptimeDay(1, 2, down_s=1.0)]) == 0.9
