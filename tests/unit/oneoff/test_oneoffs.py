"""Names, limits and left-overs of one-off containers, on a real store and an engine in memory."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import cast

import pytest

from gitship.containers.claims import Claims
from gitship.engine.addresses import Addresses
from gitship.engine.interface import Engine
from gitship.engine.types import (
    LABEL_ONE_OFF,
    LABEL_SERVER,
    ContainerSpec,
    ContainerState,
    LogLine,
)
from gitship.errors import Conflict, EngineError, GitshipError, NotFound
from gitship.logs import runs
from gitship.model import App, Identity, Process, Role
from gitship.oneoff.oneoffs import OneOffs
from gitship.oneoff.programs import MOST_PER_APP, ProgramCommand
from gitship.oneoff.spec import LABEL_ENDS, LABEL_STARTED, left_s
from gitship.store import Store
from tests.waiting import wait_until

ADA = Identity("ada", Role.DEPLOYER)
SERVER = "s1"
GONE = "removed shop.run.2.v1: its client is gone"


class MemoryEngine:
    """Containers that run until they are stopped; each prints one line with its command."""

    def __init__(self) -> None:
        self.containers: dict[str, ContainerState] = {}
        self.specs: dict[str, ContainerSpec] = {}
        self.start_fails = False
        self.changed = threading.Condition()

    def ensure_network(self, name: str, subnet: str, labels: Mapping[str, str]) -> bool:
        return True

    def create(self, spec: ContainerSpec) -> str:
        self.specs[spec.name] = spec
        self.containers[f"id-{spec.name}"] = ContainerState(f"id-{spec.name}", spec.name, spec.labels, "created")
        return f"id-{spec.name}"

    def start(self, container_id: str) -> None:
        if self.start_fails:
            raise EngineError("the engine is out of order")
        self._become(container_id, "running")

    def stop(self, container_id: str, timeout_s: float) -> None:
        self._become(container_id, "exited")

    def _become(self, container_id: str, status: str) -> None:
        with self.changed:
            if container_id in self.containers:
                self.containers[container_id] = replace(self.containers[container_id], status=status)
            self.changed.notify_all()

    def remove(self, container_id: str) -> None:
        with self.changed:
            self.containers.pop(container_id, None)
            self.changed.notify_all()

    def inspect(self, container_id: str) -> ContainerState:
        if container_id not in self.containers:
            raise NotFound("no container")
        return self.containers[container_id]

    def list(self, labels: Mapping[str, str]) -> list[ContainerState]:
        return [s for s in self.containers.values() if labels.items() <= s.labels.items()]

    def logs(
        self, container_id: str, *, follow: bool = False, stop: threading.Event | None = None, tail: int | None = None
    ) -> Iterator[LogLine]:
        state = self.inspect(container_id)
        yield LogLine(state.name, 1.0, "stdout", f"hello from {state.name}")
        while follow and stop and not stop.is_set():
            with self.changed:
                found = self.containers.get(container_id)
                if found is None or found.status == "exited":
                    return
                self.changed.wait(0.02)


class Bench:
    def __init__(self, directory: Path) -> None:
        self.claims = Claims()
        self.logs = directory / "logs"
        self.store = Store(directory / "gitship.db")
        self.engine = MemoryEngine()
        app = self.store.create_app("shop")
        release = self.store.create_release(
            app.id, commit="1a" * 20, image_id="sha256:1", image_bytes=1, config={"A": "1", "B": "2"},
            processes=(Process("web", port=5000),), cause="push", created_by="ada",
        )  # fmt: skip
        self.store.set_live(app.id, release.id, [])
        self.one_offs = self.make()

    def make(self) -> OneOffs:
        """What a new gitship has, on the same store and containers."""
        engine = cast(Engine, self.engine)
        addresses = Addresses(self.store, engine, IPv4Network("10.9.0.0/20"), SERVER)
        return OneOffs(self.store, engine, addresses, self.claims, self.logs, SERVER)

    @property
    def app(self) -> App:
        return self.store.app("shop")

    def detach(self, *words: str, **more: float) -> str:
        return self.one_offs.run_detached(
            self.store.app("shop"), ProgramCommand(words, {"B": "3"}, more.get("timeout_s", 3600.0)), ADA
        )

    def wait_gone(self, name: str) -> None:
        wait_until(lambda: f"id-{name}" not in self.engine.containers and name not in self.store.addresses(self.app.id))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.one_offs.close()
    made.store.close()


def test_it_is_made_of_the_live_release_and_its_own_variables(bench: Bench) -> None:
    name = bench.detach("./report", "a b")
    spec = bench.engine.specs[name]
    assert name == "shop.run.1.v1"
    assert (spec.image_id, spec.command, spec.restart) == ("sha256:1", ("./report", "a b"), False)
    assert (spec.env["A"], spec.env["B"], "PORT" in spec.env) == ("1", "3", False)
    assert spec.labels[LABEL_ONE_OFF] == "detached" and spec.labels[LABEL_SERVER] == SERVER
    assert spec.address == bench.store.addresses(bench.app.id)[name]
    [one] = bench.one_offs.one_offs(bench.store.app("shop"))
    assert (one.name, one.command, one.by, one.attached) == (name, "./report 'a b'", "ada", False)


def test_an_ended_one_is_removed_with_its_address_and_keeps_its_log(bench: Bench) -> None:
    name = bench.detach("x")
    assert bench.one_offs.stop(bench.store.app("shop"), "run.1", ADA) == name
    bench.wait_gone(name)
    assert list(bench.one_offs.output(bench.store.app("shop"), "1")) == [f"hello from {name}", "[exit code 0]"]
    assert bench.detach("x") == "shop.run.2.v1"  # a name, and so its log, is not used again


def test_names_go_on_after_a_restart(bench: Bench) -> None:
    bench.detach("x")
    bench.one_offs.stop(bench.store.app("shop"), "run.1", ADA)
    bench.wait_gone("shop.run.1.v1")
    bench.one_offs = bench.make()


def test_time_is_limited(bench: Bench) -> None:
    name = bench.detach("x", timeout_s=0.2)
    bench.wait_gone(name)
    assert list(bench.one_offs.output(bench.store.app("shop"), name))[-1] == "[ended at its time limit, exit code 0]"


def test_there_are_so_many_and_no_more(bench: Bench) -> None:
    for _ in range(MOST_PER_APP):
        bench.detach("x")
    with pytest.raises(Conflict, match="already has 20 one-off containers"):
        bench.detach("x")
    assert len(bench.engine.containers) == MOST_PER_APP


def test_one_that_cannot_be_started_leaves_nothing(bench: Bench) -> None:
    bench.engine.start_fails = True
    with pytest.raises(EngineError):
        bench.detach("x")
    assert bench.engine.containers == {}
    assert bench.store.addresses(bench.app.id) == {}


def test_an_app_that_was_never_deployed_has_nothing_to_run(bench: Bench) -> None:
    bench.store.create_app("empty")
    with pytest.raises(Conflict, match="empty has never been deployed"):
        bench.one_offs.run_detached(bench.store.app("empty"), ProgramCommand(("x",)), ADA)


def test_none_begins_in_an_app_that_is_being_destroyed(bench: Bench) -> None:
    with bench.claims.ending(bench.app.id), pytest.raises(NotFound, match="shop is being destroyed"):
        bench.detach("x")
    assert bench.engine.containers == {} and bench.store.addresses(bench.app.id) == {}


def test_settling_leaves_its_own_alone(bench: Bench) -> None:
    name = bench.detach("x")
    assert bench.one_offs.settle(bench.engine.list({})) == []
    assert bench.engine.containers[f"id-{name}"].status == "running"


def test_after_a_restart_detached_ones_are_taken_up_and_attached_ones_go(bench: Bench) -> None:
    name = bench.detach("x")
    bench.one_offs.close()
    assert bench.engine.containers[f"id-{name}"].status == "running"
    left = bench.engine.specs[name]
    bench.store.take_address(bench.app.id, ["10.9.0.40"], "shop.run.2.v1", 0)
    bench.engine.create(replace(left, name="shop.run.2.v1", labels={**left.labels, LABEL_ONE_OFF: "attached"}))
    bench.engine.start("id-shop.run.2.v1")
    bench.one_offs = bench.make()
    assert [c.text for c in bench.one_offs.amiss(bench.engine.list({}))] == [GONE]
    assert [c.text for c in bench.one_offs.settle(bench.engine.list({}))] == [GONE]
    assert list(bench.engine.containers) == [f"id-{name}"]
    bench.one_offs.stop(bench.store.app("shop"), name, ADA)
    bench.wait_gone(name)
    assert list(bench.one_offs.output(bench.store.app("shop"), name)) == [f"hello from {name}", "[exit code 0]"]


@pytest.mark.parametrize(("passed_s", "left"), [(0, 60), (20, 40), (61, 0), (-3600, 60)])
def test_who_is_taken_up_never_gets_more_than_its_limit(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, passed_s: float, left: float
) -> None:
    began = time.time()
    labels = {LABEL_STARTED: str(began), LABEL_ENDS: str(began + 60)}
    monkeypatch.setattr(time, "time", lambda: began + passed_s)
    assert left_s(ContainerState("id", "shop.run.1.v1", labels, "running")) == pytest.approx(left)
    assert left_s(ContainerState("id", "shop.run.1.v1", {**labels, LABEL_ENDS: ""}, "running")) == math.inf


def test_a_name_that_is_not_there_is_not_found_and_no_path(bench: Bench) -> None:
    bench.detach("x")
    for name in ("run.9", "../../gitship", "shop.run.1", "un.1", ""):
        with pytest.raises(NotFound):
            bench.one_offs.stop(bench.store.app("shop"), name, ADA)
        with pytest.raises(NotFound):
            bench.one_offs.output(bench.store.app("shop"), name)


def test_a_later_app_of_the_name_shares_no_log_and_a_rename_moves_none(bench: Bench) -> None:
    name = bench.detach("x")
    bench.one_offs.stop(bench.app, "run.1", ADA)
    bench.wait_gone(name)
    kept = sorted(path for path in bench.logs.rglob("*") if path.is_file())
    old = bench.app
    bench.store.rename_app(old.id, "store")
    assert list(bench.one_offs.output(bench.store.app("store"), name)) == [f"hello from {name}", "[exit code 0]"]
    bench.store.rename_app(old.id, "shop")
    bench.store.delete_app(old.id)  # and nobody came to remove its files
    bench.store.create_app("shop")
    with pytest.raises(NotFound):
        bench.one_offs.output(bench.app, name)
    assert sorted(path for path in bench.logs.rglob("*") if path.is_file()) == kept


def test_logs_are_limited_in_size_and_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "MOST_BYTES", 20)
    monkeypatch.setattr(runs, "KEPT", 3)
    for number in range(1, 6):
        runs.write(tmp_path, f"shop.run.{number}.v1", ["0123456789"] * 4)
    assert list(runs.names(tmp_path)) == [f"shop.run.{number}.v1" for number in (3, 4, 5)]
    assert list(runs.read(tmp_path, "shop.run.5.v1")) == ["0123456789", "[only the first 0 MB are kept]"]
    (tmp_path / "7.log").write_text("a deploy's")
    runs.write(tmp_path, "shop.run.10.v2", [])
    assert list(runs.names(tmp_path))[-1] == "shop.run.10.v2"
    assert (tmp_path / "7.log").exists()


def test_what_the_store_does_not_know_is_not_taken_up(bench: Bench) -> None:
    """As after the return to a backup from before it began: it is gitship's own, and goes."""
    name = bench.detach("x")
    bench.one_offs.close()
    bench.store.release_address(bench.app.id, name)
    bench.one_offs = bench.make()
    assert [c.text for c in bench.one_offs.settle(bench.engine.list({}))] == [
        f"removed {name}: the store does not know it"
    ]
    assert bench.engine.containers == {}


def test_a_strangers_container_is_let_be_and_another_ones_trouble_is_its_own(bench: Bench) -> None:
    """The first of the two cannot be removed."""
    left = bench.engine.specs[bench.detach("x")]
    bench.one_offs.close()
    for number in (2, 3):
        bench.store.take_address(bench.app.id, [f"10.9.0.{40 + number}"], f"shop.run.{number}.v1", 0)
        labels = {**left.labels, LABEL_ONE_OFF: "attached"}
        bench.engine.create(replace(left, name=f"shop.run.{number}.v1", labels=labels))
    bench.engine.create(replace(left, name="shop.run.4.v1", labels={}))
    bench.one_offs, remove = bench.make(), bench.engine.remove

    def refused(container_id: str) -> None:
        if container_id == "id-shop.run.2.v1":
            raise ValueError("a fault")
        remove(container_id)

    bench.engine.remove = refused  # type: ignore[method-assign]
    failed: list[GitshipError] = []
    assert [c.text for c in bench.one_offs.settle(bench.engine.list({}), failed)] == [
        "removed shop.run.3.v1: its client is gone"
    ]
    assert [error.message for error in failed] == [
        "shop: one-off container shop.run.2.v1: internal error: ValueError('a fault')"
    ]
    assert "id-shop.run.4.v1" in bench.engine.containers


def test_one_of_an_earlier_gitship_without_a_seal_is_taken_up_by_its_name(bench: Bench) -> None:
    """Its labels count for nothing: the engine shows none of them."""
    name = bench.detach("x")
    bench.one_offs.close()
    state = bench.engine.containers[f"id-{name}"]
    bench.engine.containers[state.id] = replace(state, labels={})
    bench.one_offs = bench.make()
    assert bench.one_offs.settle(bench.engine.list({})) == []
    bench.engine.stop(state.id, 0)
    bench.wait_gone(name)
    assert list(bench.one_offs.output(bench.app, name)) == [f"hello from {name}", "[exit code 0]"]
