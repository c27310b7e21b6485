from __future__ import annotations

from dataclasses import replace

import pytest

from gitship.model import ContainerEventKind, Process
from tests.unit.commands.happenings import crash
from tests.unit.commands.world import World


def quantities(world: World) -> dict[str, int]:
    return {row["process"]: row["quantity"] for row in world.ok("ps:scale", "shop", "--format", "json").json}


def test_scaling_deploys_and_is_shown(shop: World) -> None:
    assert quantities(shop) == {"web": 1, "worker": 0}
    client = shop.ok("ps:scale", "shop", "web=3", "worker=1")
    assert client.out.startswith("scaling shop to web=3, worker=1\n-----> Deploy 2")
    assert quantities(shop) == {"web": 3, "worker": 1}
    rows = shop.ok("ps:list", "shop", "--format", "json").json
    assert [row["container"] for row in rows] == [
        "shop.web.1.v2", "shop.web.2.v2", "shop.web.3.v2", "shop.worker.1.v2",
    ]  # fmt: skip
    assert [row["port"] for row in rows] == [5000, 5000, 5000, None]


@pytest.mark.parametrize(
    "words",
    [("web=101",), ("web=-1",), ("web=1.5",), ("web=",), ("web",), ("web=1e2",), ("we b=1",), ("web=1", "web=2"),
     ("web=999999999999999999999",), ("=1",), ("web=٣",)],
)  # fmt: skip
def test_absurd_numbers_and_words_are_refused(shop: World, words: tuple[str, ...]) -> None:
    client = shop.run("ps:scale", "shop", "worker=1", "--", *words)
    assert client.code == 2
    assert client.err.startswith("error: ")
    assert quantities(shop) == {"web": 1, "worker": 0}


def test_the_bounds_themselves_are_fine(shop: World) -> None:
    shop.ok("ps:scale", "shop", "web=100", "worker=0")
    assert quantities(shop) == {"web": 100, "worker": 0}


def test_an_unknown_process_type_names_the_nearest(shop: World) -> None:
    client = shop.run("ps:scale", "shop", "workers=1")
    assert client.code == 1
    assert "did you mean 'worker'?" in client.err


def test_scale_shows_what_the_app_itself_asks_for(shop: World) -> None:
    app = shop.store.app("shop")
    processes = (Process("web", port=5000, quantity=3), Process("worker", quantity=2))
    release = shop.store.create_release(
        app.id, commit=None, image_id="sha256:1", image_bytes=1, config={}, processes=processes, cause="push",
        created_by="ada",
    )  # fmt: skip
    shop.store.set_live(app.id, release.id, [])
    shop.store.set_scale(app.id, {"worker": 0})
    assert shop.ok("ps:scale", "shop", "--format", "json").json == [
        {"process": "web", "quantity": 3},
        {"process": "worker", "quantity": 0},
    ]


def test_an_app_without_a_release_remembers_its_scale(world: World) -> None:
    world.ok("apps:create", "shop")
    client = world.ok("ps:scale", "shop", "web=2")
    assert "nothing has to be deployed now" in client.err
    assert quantities(world) == {"web": 2}


def test_restart_makes_a_new_release_of_the_live_one(shop: World) -> None:
    assert "v2" in shop.ok("ps:restart", "shop").out
    assert shop.store.deploy(2).kind == "restart"


def test_restarting_what_never_ran_says_so(world: World) -> None:
    world.ok("apps:create", "shop")
    client = world.run("ps:restart", "shop")
    assert client.code == 1
    assert "shop has no live release" in client.err


def test_the_list_says_what_containers_use_and_for_how_long_they_run(shop: World) -> None:
    shop.memory.happen(crash(shop, kind=ContainerEventKind.OOM))
    [row] = shop.ok("ps:list", "shop", "--format", "json").json
    assert (row["app"], row["cpu_percent"], row["memory_bytes"]) == ("shop", 12.5, 84_000_000)
    assert (row["memory_limit_bytes"], row["ooms"]) == (268_435_456, 1)
    assert row["uptime"] > 90_000_000
    title, line = shop.ok("ps:list", "shop").out.splitlines()
    assert title.split("  ")[0] == "CONTAINER"
    assert all(word in line for word in ("12.5 %", "84 MB", "268 MB", " days")), line


def test_without_an_app_it_lists_those_that_the_key_may_see(shop: World) -> None:
    shop.memory.push("other")
    assert [row["app"] for row in shop.ok("ps:list", "--format", "json").json] == ["other", "shop"]
    client = shop.client("ps:list")
    client.session.identity = replace(client.session.identity, apps=frozenset({shop.store.app("shop").id}))
    shop.go(client)
    assert client.code == 0
    assert "shop.web.1" in client.out
    assert "other" not in client.out + client.err


def test_events_are_listed_oldest_first_and_as_many_as_asked_for(shop: World) -> None:
    assert shop.ok("ps:events", "shop").err == "no events\n"
    for n in range(1, 4):
        shop.memory.happen(crash(shop, at=1_700_000_000.0 + n, deaths=n))
    lines = shop.ok("ps:events", "shop").out.splitlines()
    assert lines[1] == "2023-11-14T22:13:21Z  shop.web.1.v1  v1       crashed: exit code 3, restarting (1st time)"
    assert len(lines) == 4
    rows = shop.ok("ps:events", "shop", "-n", "2", "--format", "json").json
    assert [(row["kind"], row["exit_code"], row["text"][-10:]) for row in rows] == [
        ("crashed", 3, "(2nd time)"), ("crashed", 3, "(3rd time)"),
    ]  # fmt: skip


@pytest.mark.parametrize("number", ["0", "501", "-1", "x"])
def test_as_many_events_as_there_never_are_is_refused(shop: World, number: str) -> None:
    client = shop.run("ps:events", "shop", "-n", number)
    assert (client.code, client.out) == (2, "")
    assert client.err.startswith("error: ")
