from __future__ import annotations

from dataclasses import replace

import pytest

from gitship.deploy.deploy_json import growth_bytes
from gitship.model import DeployKind, DeployState, Release, Role
from tests.unit.commands.world import World


@pytest.fixture
def shop(world: World) -> World:
    world.memory.push("shop")
    world.ok("config:set", "shop", "A=swordfish", "B=1")
    world.ok("config:set", "shop", "A=other", "C=1")
    world.ok("config:unset", "shop", "B")
    return world


def test_a_release_tells_what_it_changed_by_name_only(shop: World) -> None:
    shown = shop.ok("releases:info", "shop", "v3", "--format", "json")
    assert shown.json["config"] == {"added": ["C"], "removed": [], "changed": ["A"]}
    assert (shown.json["release"], shown.json["live"], shown.json["growth_bytes"]) == (3, False, 0)
    assert "swordfish" not in shown.out and "other" not in shown.out
    newest = shop.ok("releases:info", "shop", "--format", "json").json
    assert newest["live"] is True and newest["config"]["removed"] == ["B"]
    assert "added C; changed A" in shop.ok("releases:info", "shop", "3").out


def test_the_first_release_has_nothing_before_it(shop: World) -> None:
    assert shop.ok("releases:info", "shop", "v1", "--format", "json").json["growth_bytes"] is None


def test_what_failed_in_between_is_nobodys_measure(shop: World) -> None:
    app, live = shop.store.app("shop"), shop.store.release_number(shop.store.app("shop").id, 4)

    def make(size: int, config: dict[str, str]) -> Release:
        return shop.store.create_release(
            app.id, commit=live.commit, image_id=f"sha256:{size}", image_bytes=size, config=config,
            processes=live.processes, cause="push", created_by="ada",
        )  # fmt: skip

    make(live.image_bytes - 70, {**live.config, "NEW": "1"})  # its deploy has failed
    again = make(live.image_bytes + 5, {**live.config, "NEW": "1"})
    deploy = shop.store.create_deploy(app.id, DeployKind.PUSH, "ada")
    shop.store.update_deploy(replace(deploy, state=DeployState.LIVE, release_id=again.id))
    shown = shop.ok("releases:info", "shop", "v6", "--format", "json").json
    assert (shown["growth_bytes"], shown["config"]["added"]) == (5, ["NEW"])
    listed = shop.ok("releases:list", "shop", "--format", "json").json
    assert [(row["release"], row["growth_bytes"]) for row in listed][:3] == [(6, 5), (5, -70), (4, 0)]
    assert listed[-1]["growth_bytes"] is None
    assert growth_bytes(shop.store, again) == 5  # for webhooks


def test_an_unknown_release_or_none_at_all_is_said(shop: World) -> None:
    assert "no release v99" in shop.run("releases:info", "shop", "v99").err
    shop.ok("apps:create", "blog")
    assert "blog has no live release" in shop.run("releases:info", "blog").err


def test_global_config_deploys_the_apps_that_it_reaches(shop: World) -> None:
    shop.memory.push("blog")
    shop.memory.push("own")
    shop.ok("config:set", "own", "LEVEL=mine")
    shop.ok("apps:create", "empty")
    before = {a.name: len(shop.store.deploys(a.id)) for a in shop.store.apps()}
    shop.ok("config:global:set", "LEVEL=info")
    more = {a.name: len(shop.store.deploys(a.id)) - before[a.name] for a in shop.store.apps()}
    assert more == {"blog": 1, "empty": 0, "own": 0, "shop": 1}
    assert shop.store.global_config() == {"LEVEL": "info"}
    assert "info" not in shop.ok("config:global:show").out
    assert shop.ok("config:global:show", "--reveal", "--format", "json").json == [{"name": "LEVEL", "value": "info"}]
    assert "no change: these values are already set" in shop.ok("config:global:set", "LEVEL=info").err


def test_global_config_without_a_restart_deploys_nothing(shop: World) -> None:
    client = shop.ok("config:global:set", "A_B=1", "--no-restart")
    assert "the next deploy of each app uses it" in client.err
    assert len(shop.store.deploys(1)) == 4
    shop.ok("config:global:unset", "A_B", "--no-restart")
    assert shop.store.global_config() == {}
    assert "there is no global variable 'A_B'" in shop.run("config:global:unset", "A_B").err


def test_a_locked_app_is_named_and_the_others_get_it(shop: World) -> None:
    shop.memory.push("blog")
    shop.ok("apps:lock", "shop", "sale")
    client = shop.run("config:global:set", "LEVEL=info")
    assert client.code == 1
    assert "shop did not get it; their next deploy applies it" in client.err and "sale" in client.err
    assert shop.store.deploys(2)[0].kind == "config"


def test_only_admins_set_it(shop: World) -> None:
    assert "no permission" in shop.run("config:global:set", "A=1", role=Role.DEPLOYER).err
    assert shop.store.global_config() == {}
