from __future__ import annotations

import pytest

from gitship.model import Process
from tests.unit.commands.world import World

pytestmark = pytest.mark.unit


@pytest.fixture
def shop(world: World) -> World:
    world.operations.push("shop")
    return world


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
    assert "nothing of shop is live" in client.err
