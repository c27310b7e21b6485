"""Who may do what, and that a refusal tells nothing of what exists."""

from __future__ import annotations

import pytest

from gitship.console import command_registry
from gitship.model import Role
from tests.unit.commands.world import World

ROLES = {
    Role.VIEWER: {
        "help", "version", "completion",
        "apps:list", "config:show", "domains:list", "ps:list", "releases:list", "deploys:list",
        "logs", "logs:deploy", "apps:info", "releases:info", "deploys:info", "ps:events",
        "maintenance:list", "maintenance:show", "redirects:list", "auth:list", "allow:list",
        "cron:list", "cron:history", "notify:list", "policy:show",
        "ports:show", "checks:show", "resources:show", "builder:show", "storage:list", "git:info",
        "cache:status", "errors:show", "stats:list", "stats:show", "ratelimit:show", "bodylimit:show", "vcl:show",
        "capabilities:list", "services:list", "services:info", "services:engines",
        "https:status", "certs:list",
        "web", "web:token", "web:tokens", "web:token:remove",
    },
    Role.DEPLOYER: {
        "apps:create", "demo:create", "config:set", "config:unset", "config:get", "domains:add",
        "domains:set", "domains:remove", "ps:scale",
        "ps:restart", "releases:rollback", "deploys:cancel",
        "apps:lock", "apps:unlock", "ps:stop", "ps:start", "ps:rebuild", "deploys:retry",
        "ps:pause", "ps:resume", "ratelimit:set", "ratelimit:off", "bodylimit:set", "bodylimit:off",
        "config:import", "config:export",
        "ports:set", "ports:unset", "checks:set", "checks:unset", "checks:skip", "checks:run", "resources:limit",
        "resources:unset", "builder:set", "builder:unset",
        "maintenance:on", "maintenance:off", "redirects:add", "redirects:remove", "auth:set", "auth:remove", "auth:off",
        "allow:add", "allow:remove", "allow:off",
        "releases:promote", "apps:clone", "git:deploy", "git:from-image", "git:from-archive", "git:set",
        "cache:set", "cache:unset", "cache:purge", "errors:set", "errors:unset",
        "deploys:promote", "deploys:abort",
        "run", "run:list", "run:stop", "logs:run", "enter",
        "cron:add", "cron:remove", "cron:suspend", "cron:resume", "cron:run", "cron:log",
        "notify:add", "notify:remove", "notify:test", "notify:log",
        "storage:mount", "storage:unmount", "storage:destroy", "storage:export", "storage:import",
        "services:create", "services:log", "services:logs", "services:restart", "services:resize", "services:link",
        "services:unlink", "services:promote", "services:rotate", "services:dump", "services:load", "services:clone",
        "services:upgrade", "services:rollback", "services:connect", "services:proxy",
        "backups:run", "backups:list", "backups:times", "backups:verify",
        "backups:restore", "backups:download", "backups:remove", "backups:schedule", "backups:schedules",
        "backups:unschedule", "backups:target:list",
        "https:enable", "https:disable", "https:renew", "certs:add", "certs:remove",
    },
    Role.ADMIN: {
        "apps:destroy", "keys:add", "keys:list", "keys:remove", "keys:grant", "keys:limit", "keys:revoke", "audit",
        "deploy:pushed", "apps:rename", "config:global:set", "config:global:unset", "config:global:show",
        "server:export", "server:apply", "server:reconcile", "server:backup", "server:cleanup", "vcl:set", "vcl:unset",
        "capabilities:add", "capabilities:remove",
        "hooks:list", "services:destroy", "services:expose", "services:unexpose",
        "backups:target:add", "backups:target:check", "backups:target:remove",
        "registry:login", "registry:logout", "registry:list",
    },
}  # fmt: skip


def test_every_command_has_a_role_and_it_is_the_agreed_one() -> None:
    declared = {command.name: command.role for command in command_registry.load().values()}
    assert declared == {name: role for role, names in ROLES.items() for name in names}


@pytest.mark.parametrize("name", sorted(ROLES[Role.DEPLOYER] | ROLES[Role.ADMIN]))
def test_a_viewer_is_refused_whatever_needs_more_and_learns_nothing(world: World, name: str) -> None:
    world.memory.push("shop")
    there = world.run(name, "shop", role=Role.VIEWER)
    missing = world.run(name, "nothing", role=Role.VIEWER)
    assert there.code in (1, 2)
    assert (there.code, there.out, there.err) == (missing.code, missing.out, missing.err)
    assert "shop" not in there.out + there.err
    assert world.store.app("shop").live_release is not None


def test_a_refusal_names_the_role_and_exits_1(world: World) -> None:
    client = world.run("apps:destroy", "shop", "--force", role=Role.DEPLOYER)
    assert client.code == 1
    assert "no permission for `apps:destroy`" in client.err
    assert "needs the role admin; the key 'ada' has deployer" in client.err


def test_a_hidden_command_is_unknown_to_those_who_may_not(world: World) -> None:
    client = world.run("deploy:pushed", "shop", role=Role.DEPLOYER)
    assert client.code == 2
    assert "no command 'deploy:pushed'" in client.err
    assert "no command" in world.run("help", "deploy:pushed", role=Role.DEPLOYER).err


def test_help_shows_only_what_the_key_may_do(world: World) -> None:
    out = world.ok("help", role=Role.VIEWER).out
    for name in ROLES[Role.VIEWER]:
        assert f"  {name} " in out
    for name in ROLES[Role.DEPLOYER] | ROLES[Role.ADMIN]:
        assert f"  {name} " not in out


def test_a_viewer_sees_the_names_of_variables_but_no_value(world: World) -> None:
    world.ok("apps:create", "shop")
    world.ok("config:set", "shop", "SECRET=swordfish")
    hidden = world.run("config:show", "shop", "--format", "json", role=Role.VIEWER)
    assert hidden.json == [{"name": "SECRET", "value": None}]
    refused = world.run("config:show", "shop", "--reveal", role=Role.VIEWER)
    assert refused.code == 1
    assert "swordfish" not in refused.out + refused.err
    missing = world.run("config:show", "nothing", "--reveal", role=Role.VIEWER)
    assert missing.err == refused.err
