"""ratelimit and bodylimit: what may be typed, and what is kept."""

from __future__ import annotations

import pytest

from gitship.front.visitor_limits import MOST_BYTES, Rate, VisitorLimits
from gitship.model import Role
from gitship.routing.gate_settings import gate_of
from tests.unit.commands.world import World


@pytest.fixture
def shop(world: World) -> World:
    world.ok("apps:create", "shop")
    return world


def limits(world: World) -> VisitorLimits:
    return gate_of(world.store, world.store.app("shop").id).limits


def test_a_rate_set_shown_and_taken_back(shop: World) -> None:
    shop.ok("ratelimit:set", "shop", "--requests", "100", "--per", "1m", "--by", "all")
    assert limits(shop) == VisitorLimits(Rate(100, 60, "all"))
    row = {"requests": 100, "per_s": 60, "by": "all"}
    assert shop.ok("ratelimit", "shop", "--format", "json", role=Role.VIEWER).json == row
    shop.ok("ratelimit:set", "shop", "--requests", "5")
    assert limits(shop) == VisitorLimits(Rate(5, 10, "ip"))
    shop.ok("ratelimit:off", "shop")
    assert limits(shop) == VisitorLimits()
    assert shop.ok("ratelimit", "shop", "--format", "json").json == {"requests": None, "per_s": None, "by": None}


def test_a_body_limit_set_shown_and_taken_back(shop: World) -> None:
    for size, count in (("100m", 100 << 20), ("1500", 1500), ("0", 0)):
        assert f"bodies of up to {size}" in shop.ok("bodylimit:set", "shop", size).out
        assert limits(shop) == VisitorLimits(body_bytes=count)
        assert shop.ok("bodylimit", "shop", "--format", "json", role=Role.VIEWER).json == {"body_bytes": count}
    shop.ok("ratelimit:set", "shop", "--requests", "5")
    shop.ok("bodylimit:off", "shop")
    assert limits(shop) == VisitorLimits(Rate(5, 10))
    shop.ok("ratelimit:off", "shop")
    assert shop.store.app_settings(shop.store.app("shop").id).values == {}


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("ratelimit:set", "shop"), "--requests"),
        (("ratelimit:set", "shop", "--requests", "0"), "is not a valid number of requests"),
        (("ratelimit:set", "shop", "--requests", "9" * 30), "is not a valid number of requests"),
        (("ratelimit:set", "shop", "--requests", "ten"), "ten"),
        (("ratelimit:set", "shop", "--requests", "1", "--per", "0s"), "is not a period"),
        (("ratelimit:set", "shop", "--requests", "1", "--per", "2d"), "is not a period"),
        (("ratelimit:set", "shop", "--requests", "1", "--per", "10"), "is not a period"),
        (("ratelimit:set", "shop", "--requests", "1", "--by", "cookie"), "cookie"),
        (("bodylimit:set", "shop"), "SIZE is missing"),
        (("bodylimit:set", "shop", "much"), "must be a size"),
        (("bodylimit:set", "shop", "-1"), "-1"),
        (("bodylimit:set", "shop", str(MOST_BYTES)), "too large for a limit"),
    ],
)
def test_bad_input_changes_nothing(shop: World, words: tuple[str, ...], reason: str) -> None:
    client = shop.run(*words)
    assert client.code in (1, 2)
    assert reason in client.err
    assert "hint: " in client.err
    assert limits(shop) == VisitorLimits()


def test_a_server_that_cannot_limit_rates_says_what_is_missing(shop: World) -> None:
    shop.memory.front.rates = False
    client = shop.run("ratelimit:set", "shop", "--requests", "5")
    assert client.code == 1
    assert "apt-get install varnish-modules" in client.err
    assert limits(shop) == VisitorLimits()
    shop.ok("ratelimit:off", "shop")
    shop.ok("bodylimit:set", "shop", "1m")
