"""Rules of the cache: how they are written, and which one counts."""

from __future__ import annotations

from typing import Any

import pytest

from gitship.appfiles import cache_rules
from gitship.appfiles.cache_rules import BY_COMMAND, BY_DEFAULT, BY_FILE, RULES
from gitship.errors import ConfigError
from gitship.front.cache_settings import DEFAULT, CacheSettings
from gitship.front.probe_vcl import Probe
from gitship.model import Check, Process, Release
from gitship.routing.desired_state import probe_of
from gitship.schema import Value
from gitship.store.settings import AppSettings

NOTHING = AppSettings(1, {})
READ = {rule.key: rule.read for rule in RULES}


@pytest.mark.parametrize(
    ("key", "raw", "value"),
    [
        ("ttl", "60s", 60), ("ttl", "90", 90), ("ttl", 0, 0), ("grace", "1h", 3600), ("assets_for", "7D", 604_800),
        ("ignore_cookies", "on", ["*"]), ("ignore_cookies", True, ["*"]), ("ignore_cookies", "off", []),
        ("ignore_cookies", False, []), ("ignore_cookies", ["a", "b*", "a"], ["a", "b*"]),
        ("strip_query", "utm_*, fbclid", ["utm_*", "fbclid"]), ("strip_query", "", []),
        ("warm", "/,/feed?a=1", ["/", "/feed?a=1"]), ("warm", [], []),
    ],
)  # fmt: skip
def test_how_a_rule_is_written(key: str, raw: Any, value: Any) -> None:
    assert READ[key](Value("gitship.toml", f"cache.{key}", raw)) == value


@pytest.mark.parametrize(
    ("key", "raw"),
    [
        ("ttl", "soon"), ("ttl", -1), ("ttl", 1.5), ("ttl", True), ("ttl", "1w"), ("ttl", "999d"), ("ttl", None),
        ("ignore_cookies", "*"), ("ignore_cookies", 'a"b'), ("ignore_cookies", "a b"), ("ignore_cookies", ["*a"]),
        ("strip_query", "*"), ("strip_query", "a,,b"), ("strip_query", [1]), ("strip_query", 7),
        ("strip_query", [f"a{n}" for n in range(51)]), ("strip_query", True),
        ("warm", "feed"), ("warm", "/a b"), ("warm", ['/"']), ("warm", [f"/{n}" for n in range(21)]),
    ],
)  # fmt: skip
def test_what_is_no_rule_is_named(key: str, raw: Any) -> None:
    with pytest.raises(ConfigError, match=rf"gitship.toml: cache\.{key}") as error:
        READ[key](Value("gitship.toml", f"cache.{key}", raw))
    assert error.value.hint


def test_a_command_comes_before_the_file_and_the_file_before_the_default() -> None:
    file = {"ttl_s": 60, "strip_query": ["a"], "gone_by_now": 1}
    changes = {"cache.ttl_s": 0, "cache.warm": ["/"], "maintenance": {}, "cache.gone": 1, "cache.grace_s": None}
    settings = NOTHING.changed(changes)
    assert cache_rules.cache(file, settings) == CacheSettings(ttl_s=0, strip_query=("a",), warm=("/",))
    assert cache_rules.cache({}, NOTHING) == DEFAULT
    sources = {use.rule.key: (use.value, use.source) for use in cache_rules.in_use(file, settings)}
    assert sources["ttl"] == (0, BY_COMMAND)
    assert sources["strip_query"] == (["a"], BY_FILE)
    assert sources["grace"] == (86_400, BY_DEFAULT)


def test_the_defaults_are_what_the_reference_says() -> None:
    for use in cache_rules.in_use({}, NOTHING):
        said = use.rule.read(Value("", "", use.rule.default))
        assert (use.value or None) == (said or None)


def release(*checks: Check, port: int = 8000) -> Release:
    return Release(1, 1, 1, None, "sha256:1", 1, {}, (Process("web", port=port, checks=checks),), "", "ada", 0.0)


def test_varnish_asks_what_an_own_check_asks() -> None:
    own = Check(path="/healthz", headers={"host": "a.example", "X-Key": "1"}, timeout_s=1.0, port=8000)
    others = (Check(kind="listening"), Check(path="/", lenient=True), Check(path="/s", scheme="https"), Check(port=9))
    assert probe_of(release(*others), "shop.example.com") is None
    assert probe_of(release(*others, own), "shop.example.com") == Probe(
        "/healthz", ("Host: a.example", "X-Key: 1"), 1.0
    )
    assert probe_of(release(Check(path="/a")), "shop.example.com") == Probe("/a", ("Host: shop.example.com",), 5.0)
    assert probe_of(release(Check(path="/a", headers={"X": 'a"b'})), "shop.example.com") is None
