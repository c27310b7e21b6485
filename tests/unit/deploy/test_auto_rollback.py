"""A bad release is rolled back once, to a good one, and only while it is live; the record and the branch say so."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from gitship.appfiles.manifest import Manifest
from gitship.config import DeploySettings, Settings
from gitship.deploy import auto_rollback
from gitship.deploy.auto_rollback import AutoRollback, is_bad
from gitship.deploy.job import Job, Request, Withdrawal
from gitship.deploy.journal import DeployJournal
from gitship.deploy.new_release import Candidate
from gitship.deploy.queue import DeployQueue
from gitship.deploy.rollout import Rollout
from gitship.errors import Conflict
from gitship.events import Bus
from gitship.front.traffic_counters import TrafficCounters
from gitship.model import (
    GITSHIP,
    App,
    ContainerEvent,
    ContainerEventKind,
    Deploy,
    DeployKind,
    DeployState,
    Mount,
    Process,
    Release,
    StageTime,
    Topic,
)
from gitship.store import Store

WAIT_S = 10.0


class Bench:
    """v1 is live, and then a new release; what is asked for is noted, not deployed."""

    def __init__(self, directory: Path) -> None:
        self.store = Store(directory / "gitship.db")
        self.bus = Bus()
        self.news = self.bus.subscribe(lambda event: event.topic == Topic.RELEASE_BAD)
        self.tally = TrafficCounters()
        self.logs = directory / "logs"
        self.app = self.store.create_app("shop")
        self.busy: list[bool] = []  # what the queue says, one answer each; then it is idle
        self.asked: list[tuple[Release, Withdrawal, str]] = []
        self.locked = False
        self.releases = [self.release()]
        self.store.set_live(self.app.id, self.releases[0].id, [])
        settings = Settings(data_dir=directory, deploy=DeploySettings(watch=WAIT_S))  # whose logs are those above
        self._settings = settings
        self.manifest = Manifest()
        self.start()

    def start(self) -> None:
        """As the next gitship."""
        queue = cast(DeployQueue, self)
        self.probation = AutoRollback(
            self._settings, self.store, self.bus, self.tally, lambda: queue, lambda app, release: self.manifest
        )
        self.probation.rolls_back_by(self.roll_back)

    def release(self, web: Process = Process("web", port=5000)) -> Release:  # noqa: B008 (frozen)
        return self.store.create_release(
            self.app.id, commit="1a" * 20, image_id="i", image_bytes=1, config={},
            processes=(web,), cause="push", created_by="ada",
        )  # fmt: skip

    def running(self, app_id: int) -> bool | None:
        return True if self.busy and self.busy.pop(0) else None

    def roll_back(self, app: App, target: Release, withdrawal: Withdrawal, cause: str) -> Deploy:
        if self.locked:
            raise Conflict("shop is locked by ada", "apps:unlock shop")
        self.asked.append((target, withdrawal, cause))
        return self.store.create_deploy(app.id, DeployKind.ROLLBACK, "gitship", cause=cause)

    def push(self, kind: DeployKind = DeployKind.PUSH, *, manifest: Manifest | None = None, is_new: bool = True) -> Job:
        """The new release is live and begins its probation."""
        previous = self.store.app("shop").live_release
        made = self.release()
        self.releases.append(made)
        ref, commit, old = ("refs/heads/main", "1a" * 20, "2b" * 20) if kind is DeployKind.PUSH else (None, None, None)
        deploy = self.store.create_deploy(self.app.id, kind, "ada", commit=commit, ref=ref, old=old)
        job = Job(self.app, Request(kind), DeployJournal(deploy, self.app, self.store, self.bus, self.logs), (GITSHIP,))
        job.journal.update(state=DeployState.DRAINING)
        self.store.set_live(self.app.id, made.id, [])
        before = self.store.release(previous) if previous else None
        rollout = Rollout(self.app, self.app, job, before, None, stopped=False)
        rollout.candidate = Candidate(made, None, manifest or Manifest(), is_new=is_new)
        rollout.switch_began = time.monotonic()
        self.probation.begin(rollout)
        return job

    def crash(self, times: int = 3, *, release: int | None = None) -> None:
        number = release or self.releases[-1].number
        for n in range(times):
            at = time.time() + n / 1000
            name = f"shop.web.1.v{number}"
            event = ContainerEvent(
                self.app.id, name, name, "web", number, at, ContainerEventKind.CRASHED, 3, "exit code 3", n
            )
            self.store.add_container_event(event)

    def visit(self, count: int, status: int) -> None:
        line = f"{self.app.id} v{self.releases[-1].number} miss {status} 0.001 100\n"
        self.tally.take(line.encode() * count)

    def ended(self) -> None:
        """No release is watched any more."""
        for thread in threading.enumerate():
            if thread.name == "probation-shop":
                thread.join(WAIT_S)
                assert not thread.is_alive()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(auto_rollback, "TICK_S", 0.01)
    made = Bench(tmp_path)
    yield made
    made.probation.stop()
    made.ended()
    made.store.close()


def test_a_release_that_crashes_is_rolled_back_and_its_record_says_so(bench: Bench) -> None:
    job = bench.push()
    bench.crash()
    bench.ended()
    [(target, withdrawal, cause)] = bench.asked
    bad = bench.releases[1]
    assert target == bench.releases[0] and "automatic rollback to v1: v2" in cause and "crashed 3 times" in cause
    assert withdrawal == Withdrawal(bad.id, "refs/heads/main", "1a" * 20, "2b" * 20)
    record = bench.store.deploy(job.deploy.id)
    assert "v2 is bad: shop.web.1.v2 crashed 3 times" in record.reason and "Rolled back to v1" in record.reason
    assert "commit 1a1a1a1 is not live" in record.reason and "pushed again" in record.hint
    event = bench.news.get(0)
    assert event is not None and event.text == record.reason and event.app == "shop"
    assert record.reason in job.journal.path.read_text()
    assert is_bad(bench.store, bench.app.id, 2) and not is_bad(bench.store, bench.app.id, 1)


def test_what_it_says_is_kept_when_the_drain_ends_later_and_in_the_log_after_its_end(bench: Bench) -> None:
    job = bench.push()
    bench.crash()
    bench.ended()
    job.journal.finish(DeployState.LIVE, DeployState.DRAINING, 0.0, 1.0)
    assert "Rolled back to v1" in bench.store.deploy(job.deploy.id).reason
    job.journal.remark("later", "do this")
    assert job.journal.path.read_text().endswith(" !     later\n !     do this\n")


def test_a_release_that_fails_its_visitors_is_rolled_back(bench: Bench) -> None:
    bench.push()
    bench.visit(30, 500)
    bench.ended()
    assert "30 of 30 requests failed" in bench.asked[0][2]


def test_errors_of_few_visitors_are_none_and_the_share_is_the_apps_own_if_it_says_so(bench: Bench) -> None:
    bench.push(manifest=Manifest(watch_s=0.3))
    bench.visit(19, 500)
    bench.ended()
    assert bench.asked == []
    bench.push(manifest=Manifest(watch_s=0.3, watch_errors=0.0))
    bench.visit(50, 500)
    bench.ended()
    assert bench.asked == []


def test_the_first_release_stays_and_that_is_said(bench: Bench) -> None:
    bench.store.delete_app(bench.app.id)
    bench.app = bench.store.create_app("shop")
    bench.releases.clear()
    job = bench.push()
    bench.crash()
    bench.ended()
    assert bench.asked == []
    assert "It stays live: there is no earlier release" in bench.store.deploy(job.deploy.id).reason


def test_nobody_goes_back_to_a_release_that_is_bad_itself(bench: Bench) -> None:
    bench.push()
    bench.crash()
    bench.ended()
    job = bench.push()  # v2 was still live: nothing has been deployed since
    bench.crash()
    bench.ended()
    assert len(bench.asked) == 1
    assert "v2 had problems, too" in bench.store.deploy(job.deploy.id).reason


def test_nor_to_one_that_failed_its_visitors_just_as_much(bench: Bench) -> None:
    bench.visit(50, 503)
    job = bench.push()
    bench.visit(50, 500)
    bench.ended()
    assert bench.asked == [] and "v1 had problems, too" in bench.store.deploy(job.deploy.id).reason


@pytest.mark.parametrize("kind", [DeployKind.ROLLBACK, DeployKind.RESTART, DeployKind.SCALE, DeployKind.START])
def test_what_a_person_has_chosen_is_not_undone(bench: Bench, kind: DeployKind) -> None:
    bench.push(kind, is_new=kind is DeployKind.ROLLBACK)
    assert not [t for t in threading.enumerate() if t.name == "probation-shop"]


def test_a_newer_release_wins(bench: Bench) -> None:
    bench.busy = [True, True]  # a deploy is under way when the trouble is seen

    def newer_is_live(app_id: int) -> bool | None:
        if not bench.busy:
            return None
        bench.busy.pop()
        if not bench.busy:
            bench.store.set_live(bench.app.id, bench.release().id, [])
        return True

    bench.running = newer_is_live  # type: ignore[method-assign]
    bench.push()
    bench.crash()
    bench.ended()
    assert bench.asked == [] and bench.news.get(0) is None


def test_a_newer_deploy_that_comes_to_nothing_leaves_the_bad_one_to_be_rolled_back(bench: Bench) -> None:
    bench.busy = [True, True, True]
    bench.push()
    bench.crash()
    bench.ended()
    assert len(bench.asked) == 1


def test_the_end_of_a_mount_is_not_undone_by_itself(bench: Bench) -> None:
    """`storage:unmount` is a release, too: when the app misses the directory, only a person may give it again."""
    photos = Process("web", port=5000, mounts=(Mount("/srv/photos", "/photos"),))
    bench.store.set_live(bench.app.id, bench.release(photos).id, [])
    job = bench.push(DeployKind.CONFIG)
    bench.crash()
    bench.ended()
    assert bench.asked == []
    said = "It stays live: v2 mounts the host directory /srv/photos, which the app may no longer use"
    assert said in bench.store.deploy(job.deploy.id).reason


def test_a_locked_app_stays_and_that_is_said(bench: Bench) -> None:
    bench.locked = True
    job = bench.push()
    bench.crash()
    bench.ended()
    assert "It stays live: shop is locked by ada" in bench.store.deploy(job.deploy.id).reason


def test_the_next_gitship_goes_on_watching_for_the_rest_of_the_time(bench: Bench) -> None:
    job = bench.push()
    with_switch(bench)
    bench.probation.stop()
    bench.ended()
    bench.start()
    bench.probation.take_up()
    bench.crash()
    bench.ended()
    [(target, withdrawal, _)] = bench.asked
    assert "v2 is bad" in job.journal.path.read_text()
    assert target == bench.releases[0] and withdrawal.ref == "refs/heads/main"
    bench.start()
    bench.probation.take_up()  # it has been told by now
    assert not [t for t in threading.enumerate() if t.name == "probation-shop"]


def test_but_not_when_its_time_has_passed(bench: Bench) -> None:
    bench.push()
    with_switch(bench, seconds_ago=WAIT_S + 1)
    bench.probation.stop()
    bench.ended()
    bench.start()
    bench.probation.take_up()
    assert not [t for t in threading.enumerate() if t.name == "probation-shop"]


def with_switch(bench: Bench, seconds_ago: float = 0.0) -> None:
    """The newest deploy has its switch in its record, and is live, as after a kill."""
    deploy = bench.store.deploys(bench.app.id)[0]
    stages = (StageTime(DeployState.SWITCHING, time.time() - seconds_ago, 0.0),)
    release = bench.store.app("shop").live_release
    bench.store.update_deploy(dataclasses.replace(deploy, state=DeployState.LIVE, release_id=release, stages=stages))
    first = bench.store.create_deploy(bench.app.id, DeployKind.PUSH, "ada")
    bench.store.update_deploy(dataclasses.replace(first, state=DeployState.LIVE, release_id=bench.releases[0].id))


def test_it_can_be_turned_off(bench: Bench) -> None:
    bench.push(manifest=Manifest(watch_s=0.0))
    assert not [t for t in threading.enumerate() if t.name == "probation-shop"]
