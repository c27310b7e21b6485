from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gitship.reconcile.lost_addresses import LostAddresses
from tests.unit.reconcile.test_repair_containers import Bench

GONE, LIVE = "shop.web.1.v9", "shop.web.1.v1"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """One live container, and an address of another one that is not there."""
    made = Bench(tmp_path)
    assert made.store.take_address(made.app.id, ["10.9.0.99"], GONE, 0) is not None
    yield made
    made.queue.stop()
    made.store.close()


def taken(bench: Bench) -> set[str]:
    return set(bench.store.addresses(bench.app.id))


def lost(bench: Bench) -> LostAddresses:
    return LostAddresses(bench.store, bench.engine, bench.claims, bench.queue)  # type: ignore[arg-type]


def test_the_address_of_a_container_that_is_gone_is_free_again_and_that_of_a_live_one_is_not(bench: Bench) -> None:
    lost(bench).settle()
    assert taken(bench) == {LIVE}


def test_one_that_is_still_there_keeps_its_address(bench: Bench) -> None:
    before = bench.live
    bench.store.set_live(bench.app.id, bench.release.id, [])  # as when a drain has not come to it
    lost(bench).settle()
    assert taken(bench) == {before.name}


def test_who_has_an_address_and_not_yet_a_container_keeps_it(bench: Bench) -> None:
    with bench.claims.held(bench.app.id):  # a deploy
        lost(bench).settle()
    with bench.claims.joined(bench.app):  # a one-off
        lost(bench).settle()
    assert taken(bench) == {LIVE, GONE}
    lost(bench).settle()
    assert taken(bench) == {LIVE}
