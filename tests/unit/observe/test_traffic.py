"""Figures outlive gitship: what is counted, written down, and found again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitship.front.traffic_counters import TrafficCounters, TrafficMinute
from gitship.model import App
from gitship.model.traffic import Traffic
from gitship.observe.traffic import StoredStats
from gitship.store import Store
from gitship.store.traffic import HOUR_S, MINUTE_S

NOW = 1_700_000_000.0
DAY_S = 86_400


class Server:
    """A gitship that may end and start again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = NOW
        self.store = Store(path)
        self.shop = self.store.create_app("shop")
        self.begin()

    def begin(self) -> None:
        self.tally = TrafficCounters(lambda: self.now)
        self.stats = StoredStats(self.store, self.tally, None, lambda: self.now)
        self.stats.start()

    def visit(self, count: int = 1, app: App | None = None) -> None:
        self.tally.take(f"{(app or self.shop).id} v1 hit 200 0.001 100\n".encode() * count)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path / "gitship.db")
    yield made
    made.stats.stop()
    made.store.close()


def hits(server: Server, since_s: float) -> int:
    return server.stats.traffic(server.shop, since_s).hits


def test_a_restart_loses_nothing(server: Server) -> None:
    server.visit(3)
    server.stats.stop()
    server.begin()
    server.visit(2)
    assert (hits(server, 3600), hits(server, DAY_S)) == (5, 5)
    server.now += 70
    server.stats.save()
    server.visit(1)
    assert (hits(server, 3600), hits(server, DAY_S), hits(server, 60)) == (6, 6, 1)


def test_a_crash_loses_what_was_counted_since_the_last_save(server: Server) -> None:
    server.visit(3)
    server.stats.save()
    server.visit(2)
    server.stats._stop.set()  # its thread ends without a last save, as in a crash
    server.begin()
    assert (hits(server, 3600), hits(server, DAY_S)) == (3, 3)


def test_hours_add_up_and_end_after_thirty_days(server: Server) -> None:
    for _ in range(31 * 4):
        server.visit(2)
        server.stats.save()
        server.now += 6 * HOUR_S
    assert hits(server, DAY_S) == 2 * 4
    assert 2 * 4 * 30 <= hits(server, 30 * DAY_S) <= 2 * 4 * 30 + 2
    assert len(server.store.traffic(HOUR_S, 0)) <= 30 * 4 + 1, "older rows are gone"
    assert len(server.store.traffic(MINUTE_S, 0)) <= 1
    spans = server.stats.history(server.shop, DAY_S)
    assert {span.seconds for span in spans} == {3600.0}
    assert [span.start for span in spans] == sorted(span.start for span in spans)


def test_traffic_of_an_app_that_is_gone_stops_nobody(server: Server) -> None:
    blog = server.store.create_app("blog")
    server.visit(1, blog)
    server.visit(1)
    server.store.delete_app(blog.id)
    server.stats.save()
    assert [row[0] for row in server.store.traffic(HOUR_S, 0)] == [server.shop.id]
    assert server.stats.metrics().apps.keys() == {"shop"}
    assert server.stats.all_traffic(3600).keys() == server.stats.all_traffic(DAY_S).keys() == {server.shop.id}


def test_a_renamed_app_keeps_its_figures(server: Server) -> None:
    server.visit(2)
    server.store.rename_app(server.shop.id, "store")
    server.visit(1)
    assert server.stats.metrics().apps["store"].hits == 3


def test_a_store_that_cannot_be_written_loses_nothing(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.visit(2)

    def full(minutes: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(server.store, "add_traffic", full)
        server.stats.save()
    server.stats.save()
    assert [(app, traffic.hits) for app, _, traffic in server.store.traffic(HOUR_S, 0)] == [(server.shop.id, 2)]


def test_a_minute_is_written_whole_or_not_at_all(server: Server) -> None:
    broken = TrafficMinute(server.shop.id, int(NOW), "no traffic")  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        server.store.add_traffic(
            [(server.shop.id, int(NOW), Traffic(hits=1)), (broken.app_id, broken.start, broken.traffic)]
        )
    assert server.store.traffic(MINUTE_S, 0) == server.store.traffic(HOUR_S, 0) == []
