from __future__ import annotations

from dataclasses import replace

import pytest

from gitship.appsettings import STOPPED
from gitship.model import DeployState
from tests.unit.commands.world import World
from tests.unit.memory.server import Failure


def test_a_made_app_is_listed_and_the_next_commands_are_said(world: World) -> None:
    client = world.ok("apps:create", "shop")
    assert client.out == "created shop\n"
    assert "git remote add deploy ssh://deploy@example.com:2222/shop\ngit push deploy main" in client.err
    assert [row["name"] for row in world.ok("apps:list", "--format", "json").json] == ["shop"]


@pytest.mark.parametrize(
    ("domain", "reached", "host"),
    [
        ("localhost", "192.0.2.7", "192.0.2.7"),  # from a laptop, to a server without a name
        ("localhost", "2001:db8::7", "[2001:db8::7]"),
        ("localhost", "127.0.0.1", "localhost"),
        ("localhost", "::1", "localhost"),
        ("localhost", "", "localhost"),
        ("apps.example.com", "192.0.2.7", "apps.example.com"),
    ],
)
def test_the_lines_to_paste_name_the_server_as_the_client_can(
    world: World, domain: str, reached: str, host: str
) -> None:
    world.services = replace(world.services, settings=replace(world.settings, domain=domain))
    for words in (("apps:list",), ("apps:create", "shop"), ("help",)):
        client = world.client(*words)
        client.session.reached = reached
        said = world.go(client)
        assert f"deploy@{host}:2222" in said.err or f"ssh -p 2222 deploy@{host} COMMAND" in said.out


@pytest.mark.parametrize("name", ["TestApp", "a/b", "a;id", "a:latest", "x" * 64, "", "-a", "..", "é"])
def test_a_bad_name_is_refused_with_the_rule(world: World, name: str) -> None:
    client = world.run("apps:create", "--", name)
    assert client.code == 2
    assert "is not an app name\nhint: use lower-case letters" in client.err
    assert world.store.apps() == []


def test_a_taken_name_is_refused(world: World) -> None:
    world.ok("apps:create", "shop")
    assert "app 'shop' already exists" in world.run("apps:create", "shop").err


def test_the_list_tells_what_is_live_and_how_the_newest_deploy_went(world: World) -> None:
    world.ok("apps:create", "new")
    world.memory.push("shop")
    world.ok("domains:add", "shop", "www.example.net")
    world.memory.fail_next = Failure(DeployState.CHECKING, "answered 500", "look")
    world.memory.push("shop")
    rows = {row["name"]: row for row in world.ok("apps:list", "--format", "json").json}
    assert (rows["new"]["release"], rows["new"]["last_deploy"]) == (None, None)
    assert (rows["shop"]["release"], rows["shop"]["last_deploy"]) == (1, "failed")
    assert rows["shop"]["urls"] == ["http://www.example.net", "http://shop.example.com"]


def test_the_list_says_how_each_app_is(world: World) -> None:
    def states() -> dict[str, str]:
        return {row["name"]: row["state"] for row in world.ok("apps:list", "--format", "json").json}

    world.ok("apps:create", "new")
    world.memory.fail_next = Failure(DeployState.CHECKING, "answered 500", "look")
    world.memory.push("broken")
    for name in ("shop", "closed", "idle", "halted"):
        world.memory.push(name)
    world.ok("maintenance:on", "closed")
    world.store.set_live(world.store.app("idle").id, world.store.app("idle").live_release or 0, [])
    world.store.set_setting(world.store.app("halted").id, STOPPED, True)
    assert states() == {
        "new": "never deployed", "broken": "failed", "shop": "live", "closed": "maintenance", "idle": "asleep",
        "halted": "stopped",
    }  # fmt: skip
    [container] = [c for c in world.store.containers() if c.name.startswith("shop.web")]
    world.memory.facts.states[container.id] = "exited"
    assert states()["shop"] == "down"
    assert "STATE" in world.ok("apps:list").out


def test_info_has_maintenance_and_https(world: World) -> None:
    world.memory.push("shop")
    before = world.ok("apps:info", "shop", "--format", "json").json
    assert (before["state"], before["maintenance"], before["https"]) == ("live", False, "off")
    world.ok("maintenance:on", "shop")
    assert world.ok("apps:info", "shop", "--format", "json").json["maintenance"] is True


def test_destroying_in_a_script_needs_force(world: World) -> None:
    world.ok("apps:create", "shop")
    refused = world.run("apps:destroy", "shop", stdin=b"shop\n")
    assert refused.code == 1
    assert "--force" in refused.err
    assert world.store.find_app("shop") is not None
    world.ok("apps:destroy", "shop", "--force")
    assert world.store.find_app("shop") is None


def test_destroying_on_a_terminal_asks_for_the_name(world: World) -> None:
    world.ok("apps:create", "shop")
    for typed, code in ((b"shpo\r", 1), (b"\x03", 130), (b"", 130)):
        assert world.run("apps:destroy", "shop", pty=True, stdin=typed).code == code
        assert world.store.find_app("shop") is not None
    client = world.run("apps:destroy", "shop", pty=True, stdin=b"shop\r")
    assert client.code == 0
    assert client.out.endswith("destroyed shop\r\n")
    assert world.store.find_app("shop") is None


def test_nobody_is_asked_about_an_app_that_is_not_there(world: World) -> None:
    client = world.run("apps:destroy", "shop", pty=True, stdin=b"shop\r")
    assert client.code == 1
    assert client.out == ""
