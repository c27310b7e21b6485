"""Which containers are gitship's own, by what the store says; and that one app's fault ends no round of the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gitship.engine.types import ContainerState
from gitship.errors import GitshipError
from gitship.ownership import Ownership, helpers
from gitship.per_app_errors import PerAppErrors
from gitship.reconcile.problems import TROUBLES, Problems
from tests.unit.reconcile.test_repair_containers import Bench, bench

__all__ = ["bench"]


def sealed(bench: Bench, name: str, **labels: str) -> ContainerState:
    """As the engine shows a container that gitship has made."""
    own = {f"gitship.{key.replace('_', '-')}": text for key, text in labels.items()}
    return ContainerState(f"id-{name}", name, {"gitship.server": bench.store.server_id(), **own}, "running")


def strange(name: str) -> ContainerState:
    """As the engine shows any other: without a label of gitship's."""
    return ContainerState(f"id-{name}", name, {"other": "x"}, "running")


def names(found: dict[int, list[ContainerState]]) -> dict[int, list[str]]:
    return {app_id: [state.name for state in own] for app_id, own in found.items()}


def test_whose_a_container_is_the_seal_or_the_store_tells(bench: Bench) -> None:
    mine, ownership = bench.app.id, Ownership(bench.store)
    states = [
        bench.engine.containers[bench.live.id],
        sealed(bench, "shop.web.2.v1", app_id=str(mine), process="web"),
        sealed(bench, "gone.web.1.v1", app_id="99", process="web"),
        sealed(bench, "shop.run.1.v1", app_id=str(mine), process="run", one_off="detached"),
        sealed(bench, "gitship-volume-1", app_id=str(mine), helper="v"),
        sealed(bench, "odd", app_id="9" * 5000, process="web"),
        strange("shop.web.7.v1"),
        strange("shop.run.7.v1"),
    ]
    assert names(ownership.processes(states)) == {mine: ["shop.web.1.v1", "shop.web.2.v1"], 99: ["gone.web.1.v1"]}
    assert names(ownership.one_offs(states)) == {mine: ["shop.run.1.v1"]}
    assert [state.name for state in helpers(states)] == ["gitship-volume-1"]


def test_what_a_gitship_from_before_the_seals_has_made_is_known_by_its_name(bench: Bench) -> None:
    for number, name in enumerate(("shop.web.7.v1", "shop.run.7.v1", "shop.run.cron-8.v1")):
        bench.store.take_address(bench.app.id, [f"10.9.0.{40 + number}"], name, 0)
    live = ContainerState(bench.live.id, bench.live.name, {}, "running")
    states = [live, *map(strange, ("shop.web.7.v1", "shop.run.7.v1", "shop.run.cron-8.v1", "shop.web.8.v1"))]
    ownership = Ownership(bench.store)
    assert names(ownership.processes(states)) == {bench.app.id: ["shop.web.1.v1", "shop.web.7.v1"]}
    assert names(ownership.one_offs(states)) == {bench.app.id: ["shop.run.7.v1", "shop.run.cron-8.v1"]}


def test_a_fault_of_one_app_is_that_apps_in_a_round_of_repairs(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.store.create_app("afflicted")
    afflicted = bench.store.app("afflicted").id
    bench.engine.remove(bench.live.id)
    containers = bench.store.containers

    def broken(app_id: int | None = None) -> Any:
        if app_id == afflicted:
            raise ValueError("a fault of this app")
        return containers(app_id)

    monkeypatch.setattr(bench.store, "containers", broken)
    assert bench.settle() == ["made anew shop.web.1.v1: it was missing"]
    [error] = bench.failed
    assert error.message.startswith("afflicted: its containers: internal error: ValueError")


def test_what_could_not_be_done_is_written_down_until_it_can(bench: Bench, tmp_path: Path) -> None:
    apart, failed = PerAppErrors(), list[GitshipError]()
    troubles = Problems(bench.store, [apart])

    def look(*broken: str) -> Any:
        with apart.round():
            for app in broken:
                with apart.part(app, "its route", failed):
                    raise GitshipError("no \x1b[31mway", "mend it")
        troubles.write()
        return bench.store.server_setting(TROUBLES)

    assert look("shop", "blog") == [["blog", "its route: no  [31mway"], ["shop", "its route: no  [31mway"]]
    assert look("shop") == [["shop", "its route: no  [31mway"]]
    assert look() is None
    assert [error.message for error in failed[:2]] == [
        "shop: its route: no \x1b[31mway",
        "blog: its route: no \x1b[31mway",
    ]
