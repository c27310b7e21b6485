"""ps:pause and ps:resume: what may be typed and when."""

from __future__ import annotations

import pytest

from tests.unit.commands.world import World


def test_pause_shown_and_resumed(world: World) -> None:
    world.memory.push("shop")
    assert "wait for 10 s at most" in world.ok("ps:pause", "shop", "--for", "10s").out
    assert world.ok("apps:info", "shop", "--format", "json").json["paused_s"] > 9
    assert "shop is resumed" in world.ok("ps:resume", "shop").out
    assert world.ok("apps:info", "shop", "--format", "json").json["paused_s"] is None


@pytest.mark.parametrize("limit", ["0s", "31s", "1m", "-5s", "", "5 s", "1.5s", "9" * 50])
def test_a_limit_that_cannot_be_one(world: World, limit: str) -> None:
    world.memory.push("shop")
    client = world.run("ps:pause", "shop", f"--for={limit}")
    assert client.code == 2, client.err
    assert "1s to 30s" in client.err
    assert world.operations.pauses.paused(world.store.app("shop")) is None


def test_what_cannot_be_paused_or_resumed(world: World) -> None:
    world.memory.push("shop")
    world.ok("apps:create", "new")
    assert "has never been deployed" in world.run("ps:pause", "new").err
    assert "is not paused" in world.run("ps:resume", "shop").err
    world.ok("ps:pause", "shop")
    client = world.run("ps:pause", "shop")
    assert (client.code, "shop is already paused" in client.err) == (1, True)
    world.ok("ps:resume", "shop")
    world.ok("ps:stop", "shop")
    assert "is stopped" in world.run("ps:pause", "shop").err
