"""What people try first, and the line that leads them to what does it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gitship.console import suggestions
from gitship.model import DeployState
from tests.unit.commands.world import World
from tests.unit.memory.server import Failure


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("shell", "shop"), "use `enter APP` for a shell in a running container, `run APP sh` for one of its own"),
        (("exec", "shop", "ls"), "use `enter APP PROCESS COMMAND` in a running container, or `run APP COMMAND`"),
        (("top", "shop"), "use `ps:list APP` for its containers with processor and memory, `stats` for its traffic"),
        (("users",), "use `keys:list`"),
        (("traffic", "shop"), "use `stats:show APP`, or `stats:list` for all apps"),
        (("whoami",), "use `version`, which any key may ask; admins see names in `keys:list` and `audit`"),
        (("vhosts", "shop"), "use `domains:list`"),
        (("ps:scale", "shop", "3"), "for instance `ps:scale shop web=3`"),
        (("ps:scale", "shop", "web", "3"), "for instance `ps:scale shop web=3`"),
        (("config:set", "shop"), "`config:set shop NAME=VALUE`, or of a file: config:import shop < .env"),
        (("keys:add", "bob", "shop"), "limit the key to it by: keys:add bob --app shop < bob.pub"),
        (("keys:add", "bob", "shop", "blog"), "limit the key to it by: keys:add bob --app shop < bob.pub"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_first_try_is_led_on(shop: World, words: Sequence[str], hint: str) -> None:
    client = shop.run(*words)
    assert client.code == 2, client.err
    assert client.err.splitlines()[-1].startswith(f"hint: {hint}"), client.err


def test_no_answer_reads_as_two_sentences_in_one() -> None:
    for name in suggestions.OTHERS:
        said = suggestions.here(name.replace("*", "x")) or ""
        assert said.startswith(("use ", "automatic", "gitship has no")), said


def test_stats_and_maintenance_without_an_app_are_about_all(shop: World) -> None:
    shop.memory.push("blog")
    shop.ok("maintenance:on", "blog")
    assert [row["app"] for row in shop.ok("stats", "--since", "24h", "--format", "json").json] == ["blog", "shop"]
    rows = shop.ok("maintenance", "--format", "json").json
    assert [(row["app"], row["on"]) for row in rows] == [("blog", True), ("shop", False)]
    assert shop.ok("maintenance", "shop", "--format", "json").json["on"] is False
    assert "requests" in shop.ok("stats", "shop", "--format", "json").json


def test_logs_of_an_app_whose_first_release_failed_are_those_of_that(world: World) -> None:
    world.memory.fail_next = Failure(DeployState.CHECKING, "web exited 1", "look")
    world.memory.push("broken")
    app = world.store.app("broken")
    world.store.create_release(
        app.id, commit=None, image_id="i", image_bytes=1, config={}, processes=(), cause="push", created_by="ada"
    )
    client = world.run("logs", "broken")
    assert "broken has no live release: showing v1, whose deploy failed" in client.err
    assert "push to it first" in world.run("logs", "broken", "-f").err


def test_checks_of_a_process_that_is_not_there(shop: World) -> None:
    assert "did you mean 'web'?" in shop.run("checks:run", "shop", "weeb").err


def test_the_port_of_an_app_that_was_never_deployed_is_the_default(world: World) -> None:
    world.ok("apps:create", "new")
    assert world.ok("ports:show", "new", "--format", "json").json == {"port": 5000, "source": "default", "live": None}
    world.ok("config:set", "new", "PORT=7000")
    assert world.ok("ports:show", "new", "--format", "json").json["source"] == "config PORT"


def test_who_leaves_a_deploy_reads_how_to_end_it(shop: World) -> None:
    shop.memory.hold()
    client = shop.client("ps:restart", "shop")
    client.session.closed.set()
    shop.go(client)
    assert "goes on; to see it: logs:deploy shop" in client.err and "to end it: deploys:cancel shop" in client.err
