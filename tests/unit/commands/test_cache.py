"""cache and errors: what may be typed, what is kept, and what is shown."""

from __future__ import annotations

from typing import Any

import pytest

from gitship.appsettings import BEFORE, ReleaseBefore
from gitship.front.cache_settings import Purge
from gitship.model import Role
from tests.unit.commands.world import World


def shown(world: World) -> dict[str, tuple[Any, str]]:
    rows = world.ok("cache:status", "shop", "--format", "json", role=Role.VIEWER).json
    return {row["rule"]: (row["value"], row["source"]) for row in rows}


def stored(world: World) -> dict[str, Any]:
    found = world.store.app_settings(world.store.app("shop").id)
    return found.stored(found.values)


def test_rules_are_set_shown_and_taken_back(shop: World) -> None:
    shop.ok("cache:set", "shop", "--ttl", "60s", "--ignore-cookies", "on", "--strip-query", "utm_*,fbclid")
    assert stored(shop) == {"cache.ttl_s": 60, "cache.ignore_cookies": ["*"], "cache.strip_query": ["utm_*", "fbclid"]}
    assert shown(shop)["ttl"] == (60, "cache:set")
    assert shown(shop)["grace"] == (86_400, "default")
    table = shop.ok("cache", "shop").out
    assert "ignore-cookies  all" in table
    assert "ttl             1m" in table
    assert "removed ttl" in shop.ok("cache:unset", "shop", "ttl", "grace").out
    assert shown(shop)["ttl"] == (None, "default")
    shop.ok("cache:set", "shop", "--ignore-cookies", "off")
    assert shown(shop)["ignore-cookies"] == ([], "cache:set")
    shop.ok("cache:unset", "shop")
    assert "no change" in shop.ok("cache:unset", "shop").err
    assert stored(shop) == {}


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "nothing to set"),
        (("--ttl", "soon"), "--ttl must be a time"),
        (("--ttl", "-1"), ""),
        (("--grace", "999d"), "--grace must be a time from 0 s to 366 days"),
        (("--ignore-cookies", 'a"; return (pass); "'), "--ignore-cookies must be names"),
        (("--strip-query", "*"), "--strip-query must be names"),
        (("--warm", "feed"), "--warm must be paths"),
        (("--ttl", "60s", "--warm", "/ /"), "--warm must be paths"),
    ],
)
def test_what_is_no_rule_changes_nothing(shop: World, words: tuple[str, ...], reason: str) -> None:
    client = shop.run("cache:set", "shop", *words)
    assert (client.code, client.out) == (2, "")
    assert reason in client.err
    assert "hint: " in client.err
    assert stored(shop) == {}


def test_a_rule_that_is_none_is_answered_with_the_nearest(shop: World) -> None:
    client = shop.run("cache:unset", "shop", "ignore-cookie")
    assert (client.code, "did you mean 'ignore-cookies'?" in client.err) == (2, True)


def test_until_when_the_files_before_are_there(shop: World) -> None:
    app_id = shop.store.app("shop").id
    shop.store.set_setting(app_id, BEFORE, ReleaseBefore("1/0", 4_000_000_000))
    assert "served until 2096-10-02T08:06:40Z" in shop.ok("cache:status", "shop").err
    shop.store.set_setting(app_id, BEFORE, ReleaseBefore("1/0", 1_000_000_000))
    assert "served until" not in shop.ok("cache:status", "shop").err
    shop.store.set_setting(app_id, BEFORE, ReleaseBefore("1/0", 4_000_000_000))
    shop.ok("cache:set", "shop", "--assets-for", "0")
    assert "served until" not in shop.ok("cache:status", "shop").err


def test_purges_reach_varnish_as_they_were_typed(shop: World) -> None:
    owner = str(shop.store.app("shop").id)
    shop.ok("domains:add", "shop", "www.example.net")
    assert "purged all of shop" in shop.ok("cache:purge", "shop").out
    shop.ok("cache:purge", "shop", "--url", "/blog/*")
    shop.ok("cache:purge", "shop", "--url", "https://WWW.example.net/", "--tag", "a-1")
    assert shop.memory.front.purged == [
        (owner, Purge()), (owner, Purge("/blog/*")), (owner, Purge("https://WWW.example.net/", "a-1")),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [("--url", "blog"), ("--url", ""), ("--tag", "a b"), ("--tag", ""), ("--url", "http://other.example.com/")],
)
def test_what_is_no_purge(shop: World, words: tuple[str, ...]) -> None:
    client = shop.run("cache:purge", "shop", *words)
    assert (client.code, client.out, shop.memory.front.purged) == (2, "", [])
    assert "hint: " in client.err


def test_an_error_page_is_set_shown_and_taken_back(shop: World) -> None:
    client = shop.run("errors:set", "shop", "--page", "-", stdin="<p>grüße".encode())
    assert client.code == 0, client.err
    assert stored(shop) == {"error-page": "<p>grüße"}
    assert shop.ok("errors", "shop", "--format", "json", role=Role.VIEWER).json == {"page_bytes": 10}
    shop.ok("errors:unset", "shop")
    assert shop.ok("errors:show", "shop", "--format", "json").json == {"page_bytes": None}


@pytest.mark.parametrize(
    ("stdin", "reason"),
    [(b"x" * 262_145, "longer than"), (b" \n", "is empty"), (b"\x00", "control characters"), (b"\xff", "not UTF-8")],
)
def test_an_error_page_that_cannot_be_one(shop: World, stdin: bytes, reason: str) -> None:
    client = shop.run("errors:set", "shop", "--page", "-", stdin=stdin)
    assert (client.code, reason in client.err, stored(shop)) == (1, True, {})
    assert shop.run("errors:set", "shop", "--page", "x").code == 2


def test_affinity_that_is_off_by_command_is_so_in_a_document(shop: World) -> None:
    for word, written in (("off", "false"), ("on", "true")):
        shop.ok("cache:set", "shop", "--sticky", word)
        document = shop.ok("server:export").out
        assert f"sticky = {written}" in document
        shop.ok("cache:unset", "shop", "sticky")
        assert f"cache:set shop --sticky={word}" in shop.run("server:apply", "--dry-run", stdin=document.encode()).out
