"""stats: what people and scripts are shown."""

from __future__ import annotations

import pytest

from gitship.model import GITSHIP, Role
from tests.unit.commands.world import World


@pytest.fixture
def busy(world: World) -> World:
    shop = world.operations.apps.create("shop", GITSHIP)
    world.operations.apps.create("blog", GITSHIP)
    lines = [*["v1 hit 200 0.001 1000"] * 7, "v1 miss 200 0.1 1000", "v1 pass 500 0.1 1000", "v1 error 503 0.1 1000"]
    world.memory.tally.take("".join(f"{shop.id} {line}\n" for line in lines).encode())
    return world


def test_all_apps_are_listed_also_idle_ones(busy: World) -> None:
    blog, shop = busy.run("stats:list", "--format", "json", role=Role.VIEWER).json
    assert (blog["app"], blog["requests"], blog["hit_ratio"], blog["p50_ms"]) == ("blog", 0, None, None)
    assert (shop["app"], shop["requests"], shop["hit_ratio"], shop["error_ratio"]) == ("shop", 10, 0.7, 0.2)
    assert shop["requests_per_s"] == round(10 / 3600, 3)
    assert 0.8 < shop["p50_ms"] < 1.3 and 79 < shop["p95_ms"] < 127
    out = busy.ok("stats:list").out
    assert "70.0 %" in out and "10 kB" in out


def test_one_app_is_shown_in_detail_with_its_history(busy: World) -> None:
    shown = busy.run("stats", "shop", "--since", "10m", "--format", "json", role=Role.VIEWER).json
    assert (shown["hits"], shown["misses"], shown["passes"], shown["failed"]) == (7, 1, 1, 1)
    assert (shown["app_errors"], shown["front_errors"], shown["own"]) == (1, 1, 0)
    [point] = shown["history"]
    assert (point["seconds"], point["requests"], point["at"][-1]) == (60, 10, "Z")
    assert "history" not in busy.ok("stats:show", "shop").out
    [hour] = busy.run("stats:show", "shop", "--since", "30d", "--format", "json").json["history"]
    assert (hour["seconds"], hour["requests"]) == (3600, 10)


def test_an_idle_app_has_figures_too(busy: World) -> None:
    out = busy.ok("stats:show", "blog").out
    assert "requests        0" in out and "hit ratio       -" in out


def test_an_unknown_span_names_the_known_ones(busy: World) -> None:
    refused = busy.run("stats:show", "shop", "--since", "2h")
    assert refused.code == 2
    assert "2h" in refused.err and "24h" in refused.err


def test_apps_info_has_the_traffic_of_the_last_hour(busy: World) -> None:
    listed = {row.pop("app"): row for row in busy.ok("stats:list", "--format", "json").json}
    shown = busy.ok("apps:info", "shop", "--format", "json").json["traffic"]
    assert shown == listed["shop"] and shown["sent_bytes"] == 10_000 and shown["p99_ms"] >= shown["p95_ms"]
    out = busy.ok("apps:info", "shop").out
    assert "0.003 requests/s, 70.0 % from the cache, 20.0 % with 5xx, p50 " in out and ", 10 kB sent" in out
    assert "no visitors" in busy.ok("apps:info", "blog").out
