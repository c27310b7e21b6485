"""Which apps are wanted back first."""

from __future__ import annotations

from pathlib import Path

from gitship.model.traffic import Traffic
from gitship.routing.busiest_apps import busiest_slugs
from gitship.store import Store

HOUR_S = 3600
NOW = 1_700_000_000


def test_the_app_with_most_requests_of_the_last_hours_comes_first(tmp_path: Path) -> None:
    store = Store(tmp_path / "gitship.db")
    few, many, _quiet, once = (store.create_app(name) for name in ("few", "ma.ny", "quiet", "once"))
    store.add_traffic(
        [
            (few.id, NOW, Traffic(hits=3)),
            (many.id, NOW, Traffic(passes=2)),
            (many.id, NOW - HOUR_S, Traffic(failed=2)),
            (once.id, NOW - 10 * HOUR_S, Traffic(hits=1000)),
        ]
    )
    assert busiest_slugs(store, lambda: NOW) == ["ma_ny", "few"]
    store.close()
