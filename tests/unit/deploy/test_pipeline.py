"""The pipeline itself, on a real store and repository, with Docker and Varnish in memory that fail at exact points."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gitship.deploy import journal
from gitship.deploy.canary import Canary
from gitship.deploy.external_image import ExternalImages
from gitship.deploy.hooks import Hooks
from gitship.deploy.job import Job, Request, Withdrawal
from gitship.deploy.journal import DeployJournal
from gitship.deploy.new_release import NewReleases
from gitship.deploy.pipeline import Pipeline
from gitship.engine.interface import Engine
from gitship.engine.timeouts import Timeout
from gitship.errors import FrontError, GitshipError
from gitship.events import Bus
from gitship.front.front import AppFront
from gitship.git.repository import Repositories
from gitship.model import GITSHIP, Container, Deploy, DeployKind, DeployState
from gitship.routing.access_control import AccessControl
from gitship.routing.active_canaries import ActiveCanaries
from gitship.routing.desired_state import DesiredState
from gitship.routing.switch import Switch
from gitship.volumes.lifecycle import VolumeLifecycle
from tests.unit.git import commits
from tests.unit.memory.front import MemoryFront
from tests.unit.reconcile import test_repair_containers

MAIN = "refs/heads/main"
WAIT_S = 10.0


class LabellingFront(MemoryFront):
    """Varnish with labels, which ``dies`` loses. ``before[call]`` is called once before such a call, and may fail."""

    def __init__(self) -> None:
        super().__init__()
        self.before: dict[str, Callable[[], None]] = {}
        self.running = True

    def _hook(self, call: str) -> None:
        self.before.pop(call, lambda: None)()
        if not self.running:
            raise FrontError("Varnish does not answer")

    def dies(self) -> None:
        self.running = False
        self.labels, self.loaded = {}, {}

    def alive(self) -> bool:
        return self.running

    def ensure_running(self) -> None:
        self.running = True

    def takes_websockets(self) -> bool:
        return True

    def bring_websockets(self) -> bool:
        return False

    def load(self, app: AppFront) -> str:
        self._hook("load")
        return super().load(app)

    def label(self, slug: str, vcl_name: str) -> str | None:
        self._hook("label")
        if vcl_name not in self.loaded:
            raise FrontError(f"no VCL {vcl_name}")
        return super().label(slug, vcl_name)

    def unlabelled(self, slug: str, release: str | None = None) -> list[str]:
        self._hook("unlabelled")
        return super().unlabelled(slug, release)

    def bring_hosts(self, hosts: Callable[[], Mapping[str, str]]) -> bool:
        self._hook("hosts")
        return super().bring_hosts(hosts)

    def wrong(self, apps: Sequence[AppFront]) -> list[str]:
        return [app.slug for app in apps if self.loaded.get(self.labels.get(app.slug, "")) != app]


class AskedSwitch(Switch):
    """Its request through Varnish is answered by what the label leads to."""

    def _ask(self, host: str, path: str, token: str, side: str, patience: Timeout) -> tuple[str, str, int]:
        front = cast(LabellingFront, self._front)
        front._hook("ask")
        return "backend", front.labels["shop"], 200


class Bench(test_repair_containers.Bench):
    """``shop`` is live at v1. A change of its config is the deploy: the same image, new containers, v2."""

    FRONT = LabellingFront

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.memory = cast(LabellingFront, self.front)
        self.settings = self.destroying._settings
        engine, front = cast(Engine, self.engine), self.memory
        self.repositories = Repositories(directory / "repos", None)
        self.repository = self.repositories.create("shop")
        wanted, active_canaries = DesiredState(self.store, self.settings.domain), ActiveCanaries()
        self.wanted = wanted
        switch = AskedSwitch(front, self.settings.domain, wanted)
        self.gates = gates = AccessControl(self.store, front, self.drainer, 1.0, wanted, self.settings, active_canaries)
        none = cast(Any, None)
        canary = Canary(engine, front, self.drainer, gates, active_canaries, switch, none, lambda: False, 1.0)
        foreign = ExternalImages(self.store, engine, self.repositories, none)
        self.pipeline = Pipeline(
            self.settings, self.store, engine, front, self.repositories, self.starter._addresses,
            NewReleases(self.store, engine, self.repositories, none, foreign, self.settings), self.starter,
            self.drainer,
            Hooks(self.store, self.settings, lambda app: ""), VolumeLifecycle(self.store, engine,
            self.store.server_id()),
            switch, canary, self.claims, cast(Any, SimpleNamespace(begin=lambda rollout: None)),
        )  # fmt: skip
        self.memory.label("shop", self.memory.load(wanted.front(self.app)))
        self.first_vcl = self.memory.labels["shop"]

    def job(self, *, commit: str | None = None, old: str | None = None, **more: Any) -> Job:
        """With ``commit`` it is one that main has to move to."""
        deploy = self.store.create_deploy(
            self.app.id, DeployKind.CONFIG, "ada", commit=commit, ref=MAIN if commit else None, old=old
        )
        journal = DeployJournal(deploy, self.app, self.store, Bus(), self.settings.logs)
        request = Request(DeployKind.CONFIG, config={"COLOUR": "blue"}, **more)
        return Job(self.app, request, journal, (GITSHIP,))

    def run(self, job: Job) -> Deploy:
        """Its record when all has ended, drains too."""
        self.pipeline.run(job)
        assert self.drainer.wait(WAIT_S)
        return self.store.deploy(job.deploy.id)

    def said(self, job: Job) -> str:
        return job.journal.path.read_text()

    @property
    def visitors_have(self) -> str:
        return self.memory.loaded[self.memory.labels["shop"]].release

    def is_live(self, release: str) -> bool:
        """For the store, for visitors and in Docker, and nothing else is left."""
        app = self.app
        number = self.store.release(app.live_release or 0).label
        return (number, self.visitors_have, self.engine.names()) == (release, release, [f"shop.web.1.{release}"])


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.queue.stop()
    made.store.close()


def front_fails() -> None:
    raise FrontError("Varnish does not answer")


def test_a_deploy_goes_live_and_says_so_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "HEADLINE_AFTER_S", 1000.0)
    job = bench.job()
    assert bench.run(job).state is DeployState.LIVE
    assert bench.is_live("v2")
    assert [line[:42] for line in bench.said(job).splitlines() if "witch" in line] == [
        "-----> Switched, v2 is live (was v1)      "
    ]


# -- whose turn it is


@pytest.mark.parametrize("point", ["create", "start"])
def test_nothing_is_repaired_while_a_deploy_replaces_it(bench: Bench, point: str) -> None:
    """Else a live container that goes in this moment is made anew, and left when the deploy has replaced it."""
    repaired: list[list[str]] = []

    def lost() -> None:
        bench.engine.remove(bench.live.id)
        repaired.append(bench.settle())

    test_repair_containers.once(bench, point, lost)
    assert bench.run(bench.job()).state is DeployState.LIVE
    assert repaired == [[]] and bench.is_live("v2")


@pytest.mark.parametrize("point", ["load", "label", "ask"])
def test_the_app_is_claimed_until_the_switch_is_committed(bench: Bench, point: str) -> None:
    seen: list[bool] = []

    def look() -> None:
        with bench.claims.at_once(bench.app.id) as mine:
            seen.append(mine)

    bench.memory.before[point] = look
    bench.run(bench.job())
    assert seen == [False]
    with bench.claims.at_once(bench.app.id) as mine:
        assert mine


def test_a_deploy_that_waits_for_its_turn_can_be_canceled(bench: Bench) -> None:
    job = bench.job()
    job.cancel.set()
    with bench.claims.held(bench.app.id):
        deploy = bench.run(job)
    assert (deploy.state, deploy.reason) == (
        DeployState.CANCELED, "canceled while waiting for the app's containers",
    )  # fmt: skip
    assert bench.is_live("v1")


# -- what is taken back


@pytest.mark.parametrize("point", ["load", "label", "ask"])
def test_what_fails_before_the_commit_leaves_the_old_release_there(bench: Bench, point: str) -> None:
    job = bench.job()
    bench.memory.before[point] = front_fails
    deploy = bench.run(job)
    assert (deploy.state, deploy.failed_stage) == (DeployState.FAILED, DeployState.SWITCHING)
    assert bench.is_live("v1") and bench.memory.labels == {"shop": bench.first_vcl}
    assert list(bench.memory.loaded) == [bench.first_vcl]
    assert "v1 keeps serving, unchanged" in bench.said(job) and "is live" not in bench.said(job)


def test_a_release_whose_containers_are_all_gone_is_not_said_to_serve_on(bench: Bench) -> None:
    bench.engine.remove(bench.live.id)
    job = bench.job()
    bench.memory.before["load"] = front_fails
    assert bench.run(job).state is DeployState.FAILED
    assert "keeps serving" not in bench.said(job)
    assert "v1 stays live, unchanged, but has no containers: ps:list shop" in bench.said(job)


def test_a_varnish_that_dies_before_the_proof_comes_back_with_the_old_release(bench: Bench) -> None:
    """Nothing is left in it to go back to."""
    bench.memory.before["ask"] = bench.memory.dies
    job = bench.job()
    assert bench.run(job).state is DeployState.FAILED
    assert bench.is_live("v1")


def test_a_commit_that_fails_takes_the_switch_and_the_ref_back(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the deploy's record was in the very transaction that failed."""
    old, new = (commits.commit(bench.repository.path, {"a": text}) for text in (b"1", b"2"))
    bench.repository.compare_and_set(MAIN, None, old)
    moved: list[str | None] = []
    update = bench.store.update_deploy

    def full(deploy: Deploy) -> None:
        update(deploy)
        if deploy.state is DeployState.DRAINING:
            moved.append(bench.repository.ref(MAIN))
            raise GitshipError("the disk is full")

    monkeypatch.setattr(bench.store, "update_deploy", full)
    job = bench.job(commit=new, old=old)
    deploy = bench.run(job)
    assert (deploy.state, deploy.reason) == (DeployState.FAILED, "the disk is full")
    assert moved == [new] and bench.repository.ref(MAIN) == old
    assert bench.is_live("v1") and bench.store.config(bench.app.id) == {}
    assert "is live" not in bench.said(job)


def test_a_branch_that_moved_meanwhile_fails_the_deploy_and_stays_where_it_is(bench: Bench) -> None:
    old, new, other = (commits.commit(bench.repository.path, {"a": text}) for text in (b"1", b"2", b"3"))
    bench.repository.compare_and_set(MAIN, None, old)
    bench.memory.before["load"] = lambda: cast(None, bench.repository.compare_and_set(MAIN, old, other))
    deploy = bench.run(bench.job(commit=new, old=old))
    assert (deploy.state, deploy.reason) == (DeployState.FAILED, "the branch moved during the deploy")
    assert bench.repository.ref(MAIN) == other and bench.is_live("v1")


def test_a_ref_that_git_has_moved_already_returns_when_the_deploy_fails(bench: Bench) -> None:
    old, new = (commits.commit(bench.repository.path, {"a": text}) for text in (b"1", b"2"))
    bench.repository.compare_and_set(MAIN, None, new)
    bench.memory.before["load"] = front_fails
    assert bench.run(bench.job(commit=new, old=old, ref_moved=True)).state is DeployState.FAILED
    assert bench.repository.ref(MAIN) == old


# -- what is not


def test_what_fails_after_the_commit_leaves_the_deploy_live_and_told_so(bench: Bench) -> None:
    new = commits.commit(bench.repository.path, {"a": b"1"})
    bench.memory.before["unlabelled"] = front_fails  # the drain's first question
    job = bench.job(commit=new)
    deploy = bench.run(job)
    assert (deploy.state, deploy.reason, deploy.failed_stage) == (DeployState.LIVE, "", None)
    assert bench.repository.ref(MAIN) == new
    assert bench.visitors_have == "v2" and bench.app.live_release == deploy.release_id
    assert job.journal.answered.is_set() and job.journal.ended.is_set()
    assert "failed" not in bench.said(job)
    assert bench.settle() == ["draining shop.web.1.v1: it was not in use"]  # the rest, by the reconciler


def test_a_varnish_that_dies_between_the_proof_and_the_commit_changes_nothing_of_it(bench: Bench) -> None:
    set_live = bench.store.set_live

    def dies(app_id: int, release_id: int, containers: list[Container]) -> None:
        bench.memory.dies()
        set_live(app_id, release_id, containers)

    bench.store.set_live = dies  # type: ignore[method-assign, assignment]
    job = bench.job()
    deploy = bench.run(job)
    assert (deploy.state, deploy.reason) == (DeployState.LIVE, "")
    assert bench.app.live_release == deploy.release_id


# -- a rollback by itself


@pytest.fixture
def withdrawn(bench: Bench) -> tuple[Bench, str, str]:
    """The push of ``bad`` is to be rolled back from; main was at ``good`` before."""
    good, bad = (commits.commit(bench.repository.path, {"a": text}) for text in (b"1", b"2"))
    bench.repository.compare_and_set(MAIN, None, bad)
    return bench, good, bad


def test_its_branch_goes_back_with_it(withdrawn: tuple[Bench, str, str]) -> None:
    bench, good, bad = withdrawn
    job = bench.job(withdrawal=Withdrawal(bench.app.live_release or 0, MAIN, bad, good))
    assert bench.run(job).state is DeployState.LIVE
    assert bench.repository.ref(MAIN) == good


def test_a_branch_that_has_moved_on_stays(withdrawn: tuple[Bench, str, str]) -> None:
    bench, good, bad = withdrawn
    newer = commits.commit(bench.repository.path, {"a": b"3"})
    bench.repository.compare_and_set(MAIN, bad, newer)
    job = bench.job(withdrawal=Withdrawal(bench.app.live_release or 0, MAIN, bad, good))
    assert bench.run(job).state is DeployState.LIVE
    assert bench.repository.ref(MAIN) == newer


def test_one_that_fails_leaves_the_branch_alone(withdrawn: tuple[Bench, str, str]) -> None:
    bench, good, bad = withdrawn
    bench.memory.before["label"] = front_fails
    job = bench.job(withdrawal=Withdrawal(bench.app.live_release or 0, MAIN, bad, good))
    assert bench.run(job).state is DeployState.FAILED
    assert bench.repository.ref(MAIN) == bad


def test_it_is_pointless_once_something_newer_is_live(withdrawn: tuple[Bench, str, str]) -> None:
    bench, good, bad = withdrawn
    assert bench.run(bench.job()).state is DeployState.LIVE
    job = bench.job(withdrawal=Withdrawal(bench.release.id, MAIN, bad, good))
    assert bench.run(job).state is DeployState.CANCELED
    assert bench.repository.ref(MAIN) == bad and bench.is_live("v2")
