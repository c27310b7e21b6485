"""Which apps a key may use: adding it with a limit, limiting, granting, revoking."""

from __future__ import annotations

from typing import Any

import pytest

from gitship.model import Role
from tests.unit.commands.world import ADA, BOB, World


@pytest.fixture
def apps(world: World) -> World:
    for name in ("blog", "shop", "wiki"):
        world.ok("apps:create", name)
    world.ok("keys:add", "ada", "--role", "admin", ADA)
    world.ok("keys:add", "bob", BOB)
    return world


def may_use(world: World, key: str) -> Any:
    return {row["name"]: row["apps"] for row in world.ok("keys:list", "--format", "json").json}[key]


def test_a_key_may_use_all_apps_unless_it_is_added_with_some(apps: World) -> None:
    assert may_use(apps, "bob") is None
    apps.ok("keys:remove", "bob")
    added = apps.ok("keys:add", "bob", "--app", "wiki", "--app", "shop", *BOB.split())
    assert ", only for shop, wiki" in added.out
    assert may_use(apps, "bob") == ["shop", "wiki"]
    table = apps.ok("keys:list").out.splitlines()
    assert [("all" in line, "shop, wiki" in line) for line in table[1:]] == [(True, False), (False, True)]


def test_limit_grant_and_revoke_change_the_list(apps: World) -> None:
    assert apps.ok("keys:limit", "bob", "shop", "blog").out == "bob may use only blog, shop\n"
    assert apps.ok("keys:grant", "bob", "wiki", "shop").out == "bob may use only blog, shop, wiki\n"
    assert apps.ok("keys:revoke", "bob", "blog", "shop").out == "bob may use only wiki\n"
    assert apps.ok("keys:limit", "bob", "blog").out == "bob may use only blog\n"
    assert apps.ok("keys:revoke", "bob", "blog").out == "bob may use no app\n"
    assert may_use(apps, "bob") == []
    assert apps.ok("keys:grant", "bob", "--all").out == "bob may use all apps\n"
    assert may_use(apps, "bob") is None


def test_a_key_may_be_limited_to_no_app(apps: World) -> None:
    assert apps.ok("keys:limit", "bob", "--no-apps").out == "bob may use no app\n"
    assert may_use(apps, "bob") == []
    apps.ok("keys:remove", "bob")
    added = apps.ok("keys:add", "bob", "--no-apps", *BOB.split())
    assert ", for no app" in added.out
    assert may_use(apps, "bob") == []
    assert [line.split()[2] for line in apps.ok("keys:list").out.splitlines()[1:]] == ["all", "none"]
    assert "no change" in apps.ok("keys:add", "bob", "--no-apps", *BOB.split()).err
    assert apps.run("keys:add", "bob", *BOB.split()).code == 1, "the same key without a limit is another"
    assert may_use(apps, "bob") == []


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (("keys:add", "eve", "--role", "admin", "--app", "shop", ADA), 2, "cannot be limited"),
        (("keys:add", "eve", "--app", "shpo", ADA), 1, "did you mean 'shop'?"),
        (("keys:revoke", "bob", "shop"), 1, "keys:limit bob APP"),
        (("keys:grant", "bob", "shop"), 1, "may use all apps already"),
        (("keys:grant", "bob", "--all"), 1, "may use all apps already"),
        (("keys:grant", "bob"), 2, "give the apps, or --all"),
        (("keys:grant", "bob", "shop", "--all"), 2, "give the apps, or --all"),
        (("keys:limit", "bob"), 2, "APP is missing"),
        (("keys:revoke", "bob"), 2, "APP is missing"),
        (("keys:limit", "bob", "shop", "--no-apps"), 2, "give the apps, or --no-apps"),
        (("keys:limit", "ada", "--no-apps"), 1, "is an admin key"),
        (("keys:add", "eve", "--app", "shop", "--no-apps", ADA), 2, "give --app, or --no-apps"),
        (("keys:add", "eve", "--role", "admin", "--no-apps", ADA), 2, "cannot be limited"),
        (("keys:limit", "ada", "shop"), 1, "is an admin key"),
        (("keys:grant", "ada", "shop"), 1, "is an admin key"),
        (("keys:revoke", "ada", "shop"), 1, "is an admin key"),
        (("keys:limit", "bo", "shop"), 1, "did you mean 'bob'?"),
        (("keys:limit", "bob", "shop", "shpo"), 1, "did you mean 'shop'?"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    apps: World, argv: tuple[str, ...], code: int, says: str
) -> None:
    before = apps.store.keys()
    client = apps.run(*argv)
    assert (client.code, says in client.err) == (code, True), client.err
    assert apps.store.keys() == before


def test_revoking_what_was_not_granted_takes_nothing_else(apps: World) -> None:
    apps.ok("keys:limit", "bob", "shop")
    refused = apps.run("keys:revoke", "bob", "shop", "wiki")
    assert (refused.code, "may not use wiki anyway" in refused.err) == (3, True)
    assert may_use(apps, "bob") == ["shop"]


def test_a_grant_ends_with_its_app_and_is_not_for_a_later_one_of_that_name(apps: World) -> None:
    apps.ok("keys:limit", "bob", "shop", "blog")
    apps.ok("apps:destroy", "shop", "--force")
    apps.ok("apps:create", "shop")
    assert may_use(apps, "bob") == ["blog"]


def test_a_removed_keys_grants_go_with_it(apps: World) -> None:
    apps.ok("keys:limit", "bob", "shop")
    apps.ok("keys:remove", "bob")
    apps.ok("keys:add", "bob", BOB)
    assert may_use(apps, "bob") is None


@pytest.mark.parametrize("command", ["keys:limit", "keys:grant", "keys:revoke"])
def test_only_admins_change_grants(apps: World, command: str) -> None:
    assert "no permission" in apps.run(command, "bob", "shop", role=Role.DEPLOYER).err
