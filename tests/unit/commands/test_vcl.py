"""vcl: what is kept, and what is refused."""

from __future__ import annotations

import pytest

from gitship.model import Role
from gitship.routing.gate_settings import gate_of
from tests.unit.commands.world import World

OWN = 'sub app_recv {\n    set req.http.x = "é";\n}\n'


@pytest.fixture
def shop(world: World) -> World:
    world.ok("apps:create", "shop")
    return world


def own(world: World) -> str:
    return gate_of(world.store, world.store.app("shop").id).vcl


def test_set_shown_and_unset(shop: World) -> None:
    assert shop.run("vcl:set", "shop", stdin=f"vcl 4.1;{OWN}".encode()).code == 0
    assert shop.ok("vcl:show", "shop", role=Role.VIEWER).out == own(shop) == OWN
    shop.ok("vcl:unset", "shop")
    shop.ok("vcl:unset", "shop")
    assert own(shop) == ""
    assert "has no custom VCL" in shop.run("vcl:show", "shop").err
    assert shop.store.app_settings(shop.store.app("shop").id).values == {}


@pytest.mark.parametrize(
    ("stdin", "reason"),
    [
        (b" \n", "is empty"),
        (b"\xff", "not UTF-8"),
        (b"#" * 40_000, "longer than"),
        (b"sub vcl_recv { }", "line 1: gitship does not call sub vcl_recv"),
        (b"sub app_recv { nonsense; }", "refuses the app's own VCL"),
    ],
)
def test_bad_input_changes_nothing(shop: World, stdin: bytes, reason: str) -> None:
    assert shop.run("vcl:set", "shop", stdin=OWN.encode()).code == 0
    client = shop.run("vcl:set", "shop", stdin=stdin)
    assert client.code == 1
    assert reason in client.err
    assert "hint: " in client.err
    assert own(shop) == OWN


def test_deployers_may_not(shop: World) -> None:
    client = shop.run("vcl:set", "shop", role=Role.DEPLOYER, stdin=OWN.encode())
    assert (client.code, own(shop)) == (1, "")
    assert "needs the role admin" in client.err
