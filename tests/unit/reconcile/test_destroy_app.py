"""An app whose end was cut short: nothing of it comes back meanwhile, and the reconciler finishes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gitship.appsettings import DESTROYING
from gitship.engine.interface import Engine
from gitship.errors import Conflict, GitshipError
from gitship.front.front import Front
from gitship.model import GITSHIP
from gitship.operations.app_lock import ensure_unlocked
from gitship.per_app_errors import PerAppErrors
from gitship.reconcile.interrupted_deploys import InterruptedDeploys
from gitship.reconcile.lost_addresses import LostAddresses
from gitship.reconcile.outages import Outages
from gitship.reconcile.problems import Problems
from gitship.reconcile.reconciler import Reconciler
from gitship.reconcile.repair_routes import RouteRepair
from gitship.volumes.lifecycle import VolumeLifecycle
from tests.unit.deploy.test_pipeline import Bench as Whole
from tests.unit.reconcile.test_repair_containers import breaks, once


class Bench(Whole):
    """``shop`` is live, and shall go."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        engine, front = cast(Engine, self.engine), cast(Front, self.front)
        self.routes = RouteRepair(self.settings, self.store, front, self.wanted, self.gates, self.queue, self.claims)
        nothing = cast(Any, SimpleNamespace(settle=lambda *states: [], amiss=lambda *states: []))
        no_orphans = cast(Any, SimpleNamespace(orphans=list, remove_orphans=list))
        self.reconciler = Reconciler(
            self.store, engine, front, no_orphans, InterruptedDeploys(self.store, self.repositories), nothing,
            self.destroying, self.repair, nothing, VolumeLifecycle(self.store, engine, self.store.server_id()),
            nothing, Outages(),
            self.routes, LostAddresses(self.store, engine, self.claims, self.queue), PerAppErrors(),
            Problems(self.store, ()),
        )  # fmt: skip

    def cut_short(self) -> None:
        """The app's containers are gone, its network and record are not."""
        once(self, "remove_network", breaks("Docker went away"))
        with pytest.raises(GitshipError, match="could not be deleted completely"):
            self.destroying.destroy(self.store.app("shop"), GITSHIP)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.queue.stop()
    made.store.close()


def test_it_is_marked_before_anything_is_removed(bench: Bench) -> None:
    """A gitship that is killed in between has to know."""
    marked: list[bool] = []

    def look() -> None:
        marked.append(bench.store.setting(bench.app.id, DESTROYING) is not None)

    once(bench, "list", look)
    bench.memory.before["hosts"] = look
    bench.destroying.destroy(bench.store.app("shop"), GITSHIP)
    assert marked == [True, True]


def test_the_reconciler_finishes_it_and_tells_so_before(bench: Bench) -> None:
    bench.cut_short()
    what = "removed what is left of shop: it is being destroyed"
    assert what in [change.text for change in bench.reconciler.look()]
    assert bench.store.apps() != []  # only looked at
    assert what in [change.text for change in bench.reconciler.reconcile()]
    assert bench.store.apps() == [] and bench.engine.networks == {} and bench.engine.names() == []
    assert bench.reconciler.look() == []


def test_meanwhile_it_takes_no_deploy_and_gets_no_route(bench: Bench) -> None:
    bench.cut_short()
    with pytest.raises(Conflict, match="shop is being destroyed"):
        ensure_unlocked(bench.store, bench.app)
    assert bench.memory.labels == {}
    failed: list[GitshipError] = []
    assert bench.routes.settle(failed) == bench.routes.amiss() == []
    assert failed == []
    bench.gates.bring(bench.app.id)  # a command that was under way
    assert bench.memory.labels == {}


def test_the_reconciler_leaves_it_to_who_is_at_it(bench: Bench) -> None:
    settled: list[Any] = []
    once(bench, "remove_network", lambda: settled.append(bench.destroying.settle([])))
    bench.destroying.destroy(bench.store.app("shop"), GITSHIP)
    assert settled == [[]] and bench.store.apps() == []
