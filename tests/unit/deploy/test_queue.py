from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gitship.deploy.job import Job, Request
from gitship.deploy.journal import DeployJournal
from gitship.deploy.queue import DeployQueue
from gitship.errors import NoPermission
from gitship.events import Bus
from gitship.model import GITSHIP, App, DeployKind, DeployState, Identity, Key, Role
from gitship.store import Store
from tests.waiting import wait_until

WAIT_S = 5.0
ADA = Identity("ada", Role.ADMIN)


class Unheard(threading.Event):
    """A deploy that does not look whether it was canceled."""

    def is_set(self) -> bool:
        return False


class Bench:
    """A real queue over a real store; ``run`` is what the pipeline would be, held at a gate."""

    def __init__(self, directory: Path, *, cancel_running: bool = False) -> None:
        self.store = Store(directory / "gitship.db")
        self.bus = Bus()
        self.logs = directory / "logs"
        self.gate = threading.Event()
        self.started: list[Job] = []
        self.began = threading.Semaphore(0)
        self.queue = DeployQueue(self._run, cancel_running=cancel_running)

    def _run(self, job: Job) -> None:
        self.started.append(job)
        job.journal.update(state=DeployState.BUILDING)
        self.began.release()
        while not self.gate.wait(0.01):
            if job.cancel.is_set():
                break
        state = job.canceled_by if job.cancel.is_set() else DeployState.LIVE
        job.journal.update(state=state)
        job.journal.close()

    def app(self, name: str) -> App:
        return self.store.find_app(name) or self.store.create_app(name)

    def submit(self, app: str, kind: DeployKind = DeployKind.PUSH, by: Identity = GITSHIP, **more: Any) -> Job:
        owner = self.app(app)
        deploy = self.store.create_deploy(owner.id, kind, "me")
        journal = DeployJournal(deploy, owner, self.store, self.bus, self.logs)
        cancel = more.pop("cancel", threading.Event())
        job = Job(owner, Request(kind, **more), journal, (by,), cancel)
        self.queue.submit(job)
        return job

    def running(self, app: str, by: Identity = GITSHIP, **more: Any) -> Job:
        """A deploy that has begun: one submitted before its thread runs would be superseded instead."""
        job = self.submit(app, by=by, **more)
        assert self.began.acquire(timeout=WAIT_S)
        return job

    def state(self, job: Job) -> DeployState:
        assert job.journal.ended.wait(WAIT_S)
        return self.store.deploy(job.deploy.id).state


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.gate.set()
    made.queue.stop()
    made.store.close()


def test_one_deploy_per_app_at_a_time(bench: Bench) -> None:
    first, second = bench.running("shop"), bench.submit("shop")
    assert not bench.began.acquire(timeout=0.2)
    assert bench.store.deploy(second.deploy.id).state is DeployState.QUEUED
    bench.gate.set()
    assert [bench.state(j) for j in (first, second)] == [DeployState.LIVE, DeployState.LIVE]
    assert bench.started == [first, second]


def test_apps_deploy_side_by_side(bench: Bench) -> None:
    bench.submit("shop")
    bench.submit("blog")
    assert bench.began.acquire(timeout=WAIT_S) and bench.began.acquire(timeout=WAIT_S)


def test_the_newest_queued_push_wins(bench: Bench) -> None:
    jobs = [bench.running("shop"), *(bench.submit("shop") for _ in range(3))]
    bench.gate.set()
    assert [bench.state(j) for j in jobs[1:]] == [DeployState.SUPERSEDED, DeployState.SUPERSEDED, DeployState.LIVE]
    assert bench.started == [jobs[0], jobs[3]]


def test_a_push_never_drops_a_queued_config_change(bench: Bench) -> None:
    bench.running("shop")
    change = bench.submit("shop", DeployKind.CONFIG)
    push = bench.submit("shop")
    bench.gate.set()
    assert [bench.state(change), bench.state(push)] == [DeployState.LIVE, DeployState.LIVE]


def test_a_newer_config_change_carries_the_older_one(bench: Bench) -> None:
    bench.running("shop")
    settings = {"run.port": 1, "limit.web.pids": 5}
    bench.submit("shop", DeployKind.CONFIG, ADA, config={"A": "1", "B": "1"}, settings=settings)
    newer = bench.submit("shop", DeployKind.CONFIG, config={"B": None}, settings={"run.port": None})
    bench.gate.set()
    assert bench.state(newer) is DeployState.LIVE
    job = bench.started[-1]
    assert job.journal is newer.journal and job.by == (GITSHIP, ADA)
    assert job.request.config == {"A": "1", "B": None}
    assert job.request.settings == {"run.port": None, "limit.web.pids": 5}


def test_cancel_ends_the_running_deploy(bench: Bench) -> None:
    job = bench.running("shop")
    assert bench.queue.cancel(job.app_id) is job
    assert bench.state(job) is DeployState.CANCELED


def test_cancel_prefers_the_one_that_waits(bench: Bench) -> None:
    running, waiting = bench.running("shop"), bench.submit("shop")
    assert bench.queue.cancel(running.app_id) is waiting
    bench.gate.set()
    assert bench.state(running) is DeployState.LIVE


def test_a_switched_deploy_cannot_be_canceled(bench: Bench) -> None:
    job = bench.running("shop")
    job.journal.update(state=DeployState.DRAINING)
    assert bench.queue.cancel(job.app_id) is None


def test_a_new_push_may_end_the_running_one(tmp_path: Path) -> None:
    bench = Bench(tmp_path, cancel_running=True)
    first = bench.submit("shop")
    assert bench.began.acquire(timeout=WAIT_S)
    second = bench.submit("shop")
    assert bench.state(first) is DeployState.SUPERSEDED
    bench.gate.set()
    assert bench.state(second) is DeployState.LIVE
    bench.queue.stop()
    bench.store.close()


def test_stop_leaves_no_thread_and_no_open_record(bench: Bench) -> None:
    jobs = [bench.submit("shop"), bench.submit("shop", DeployKind.SCALE), bench.submit("blog")]
    bench.queue.stop()
    assert all(bench.state(j).ended for j in jobs)
    wait_until(lambda: not [t for t in threading.enumerate() if t.name.startswith("deploy-")])


def test_stop_cancels_all_at_once(tmp_path: Path) -> None:
    """One that ends late keeps no other running: here each waits until the other one has been canceled."""
    bench = Bench(tmp_path)
    first, second = bench.running("shop", cancel=Unheard()), bench.running("blog", cancel=Unheard())
    together: list[bool] = []

    def waits(mine: Job, other: Job) -> None:
        mine.cancel.wait(WAIT_S)
        together.append(other.cancel.wait(WAIT_S))
        bench.gate.set()

    threads = [threading.Thread(target=waits, args=pair, name="waits") for pair in ((first, second), (second, first))]
    for thread in threads:
        thread.start()
    bench.queue.stop()
    for thread in threads:
        thread.join(WAIT_S)
    assert together == [True, True]
    bench.store.close()


def key_of(bench: Bench, *apps: App) -> tuple[Key, Identity]:
    """A deployer's key for these apps."""
    key = bench.store.add_key("ada", "SHA256:a", "ssh-ed25519 A", Role.DEPLOYER, [app.id for app in apps])
    return key, Identity(key.name, key.role, key.fingerprint, "", key.apps, key.id)


def test_a_deploy_that_runs_ends_with_the_right_to_it(bench: Bench) -> None:
    shop, blog = bench.app("shop"), bench.app("blog")
    key, by = key_of(bench, shop, blog)
    jobs = [bench.running(app.name, by) for app in (shop, blog)]
    bench.store.limit_key(key.id, [shop.id])
    bench.queue.recheck(bench.store)
    assert [job.cancel.is_set() for job in jobs] == [False, True]
    bench.store.remove_key(key.id)
    bench.queue.recheck(bench.store)
    assert jobs[0].cancel.is_set()


def test_what_visitors_have_already_goes_on_without_the_right(bench: Bench) -> None:
    shop = bench.app("shop")
    key, by = key_of(bench, shop)
    job = bench.running("shop", by)
    job.journal.update(state=DeployState.DRAINING)
    bench.store.remove_key(key.id)
    bench.queue.recheck(bench.store)
    assert not job.cancel.is_set()


def test_a_promotion_needs_the_right_to_both_apps(bench: Bench) -> None:
    shop, blog = bench.app("shop"), bench.app("blog")
    key, by = key_of(bench, shop, blog)
    job = bench.running("shop", by, source=blog)
    assert job.confirm(bench.store).id == shop.id
    bench.store.limit_key(key.id, [shop.id])
    with pytest.raises(NoPermission, match="'ada' may no longer use blog"):
        job.confirm(bench.store)
