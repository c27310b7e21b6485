"""Lock, rename, stop, start, build again: what the commands refuse, say and leave behind."""

from __future__ import annotations

import threading

import pytest

from gitship.appsettings import RENAMING
from gitship.model import DeployKind, DeployState, Role
from tests.unit.commands.world import World
from tests.unit.memory.server import Failure
from tests.waiting import wait_until


def kinds(world: World) -> list[str]:
    return [d.kind.value for d in world.store.deploys(world.store.apps()[0].id)]


def test_a_locked_app_refuses_with_message_and_name_until_it_is_unlocked(shop: World) -> None:
    shop.ok("apps:lock", "shop", "sale", "until Friday")
    for argv in (
        ("config:set", "shop", "A=1"),
        ("config:set", "shop", "A=1", "--no-restart"),
        ("ps:stop", "shop"),
        ("apps:rename", "shop", "store"),
    ):
        client = shop.run(*argv)
        assert client.code == 1
        assert "shop is locked by ada: sale until Friday" in client.err
        assert "apps:unlock shop" in client.err
    assert shop.store.config(1) == {} and kinds(shop) == ["push"]
    assert shop.run("apps:lock", "shop").code == 1
    assert "which ada had locked" in shop.ok("apps:unlock", "shop").out
    shop.ok("config:set", "shop", "A=1")
    assert "is not locked" in shop.ok("apps:unlock", "shop").err


def test_a_lock_s_message_is_one_short_line(shop: World) -> None:
    assert shop.run("apps:lock", "shop", "two\nlines").code == 2
    assert shop.run("apps:lock", "shop", "x" * 201).code == 2
    assert shop.ok("apps:info", "shop", "--format", "json").json["lock"] is None


def test_rename_needs_a_free_and_valid_name(shop: World) -> None:
    shop.ok("apps:create", "blog")
    shop.store.add_domain(2, "taken.example.com")
    assert "app 'blog' already exists" in shop.run("apps:rename", "shop", "blog").err
    assert "app 'shop' already exists" in shop.run("apps:rename", "shop", "shop").err
    assert "domain taken.example.com" in shop.run("apps:rename", "shop", "taken").err
    assert "is not an app name" in shop.run("apps:rename", "shop", "A_B").err
    shop.store.set_setting(2, RENAMING, "soon")
    assert "blog is being renamed to soon" in shop.run("apps:rename", "shop", "soon").err
    assert [a.name for a in shop.store.apps()] == ["blog", "shop"] and kinds(shop) == []


def test_rename_says_how_to_push_from_now_on(shop: World) -> None:
    client = shop.ok("apps:rename", "shop", "store")
    assert "renamed shop to store" in client.out
    assert "git remote set-url deploy ssh://deploy@example.com:2222/store" in client.err
    assert shop.store.app("store").id == 1
    assert kinds(shop) == ["rename", "push"]


def test_stop_and_start_take_turns(shop: World) -> None:
    assert "already started" in shop.ok("ps:start", "shop").err
    shop.ok("ps:stop", "shop")
    assert "shop is already stopped: no change" in shop.ok("ps:stop", "shop").err
    assert shop.ok("apps:info", "shop", "--format", "json").json["stopped"] is True
    shop.ok("ps:start", "shop")
    assert kinds(shop) == ["start", "stop", "push"]


def test_rebuild_without_the_commit_says_what_to_push(shop: World) -> None:
    shop.memory.repositories.create("shop")
    client = shop.run("ps:rebuild", "shop")
    assert client.code == 1
    assert "does not have commit 1a2b3c4" in client.err and "git push deploy 1a2b3c4d1a2b:main" in client.err


def test_retry_is_for_what_failed_or_was_canceled(world: World) -> None:
    world.ok("apps:create", "shop")
    assert "no deploy of a commit" in world.run("deploys:retry", "shop").err
    world.memory.push("shop")
    assert "is live, not failed" in world.run("deploys:retry", "shop").err
    world.memory.hold()
    pushing = threading.Thread(target=world.memory.push, args=("shop",), name="a push")
    pushing.start()
    wait_until(lambda: len(world.store.deploys(world.store.app("shop").id)) == 2)
    said = world.run("deploys:retry", "shop").err
    world.memory.release()
    pushing.join()
    assert "deploy 2 of shop is in progress" in said and "or cancel it: deploys:cancel shop" in said


def test_deploys_info_shows_why_one_failed(shop: World) -> None:
    shop.memory.fail_next = Failure(DeployState.BUILDING, "step 2 exited 1", "fix the Dockerfile")
    shop.memory.push("shop")
    shown = shop.ok("deploys:info", "shop", "--format", "json").json
    assert shown == shop.ok("deploys:list", "shop", "--format", "json").json[0]
    assert (shown["id"], shown["state"], shown["failed_stage"]) == (2, "failed", "building")
    assert (shown["reason"], shown["hint"]) == ("step 2 exited 1", "fix the Dockerfile")
    assert shop.ok("deploys:info", "shop", "1", "--format", "json").json["release"] == 1
    assert "fix the Dockerfile" in shop.ok("deploys:info", "shop").out


def test_deploys_info_knows_only_the_app_s_own(shop: World) -> None:
    shop.memory.push("blog")
    for number in ("2", "99", "99999999999999999999"):
        client = shop.run("deploys:info", "shop", number)
        assert client.code == 1 and f"shop has no deploy {number}" in client.err


def test_apps_info_tells_what_is_live_and_what_waits(shop: World) -> None:
    shop.ok("config:set", "shop", "A=1", "--no-restart")
    shown = shop.ok("apps:info", "shop", "--format", "json").json
    assert (shown["release"], shown["config"], shown["config_waits"]) == (1, ["A"], True)
    assert shown["processes"]["web"] == {"running": 1, "wanted": 1}
    assert "web 1/1" in shop.ok("apps:info", "shop").out
    shop.ok("config:set", "shop", "A=2")
    assert shop.ok("apps:info", "shop", "--format", "json").json["config_waits"] is False


@pytest.mark.parametrize(
    "argv",
    [("apps:rename", "shop", "x"), ("apps:lock", "shop"), ("ps:stop", "shop"), ("deploys:retry", "shop")],
    ids=lambda argv: argv[0],
)
def test_a_viewer_may_only_look(shop: World, argv: tuple[str, ...]) -> None:
    assert "no permission" in shop.run(*argv, role=Role.VIEWER).err
    assert shop.store.deploys(1)[0].kind is DeployKind.PUSH
