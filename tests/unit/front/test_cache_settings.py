"""What an owner says of the cache, as text; and that nobody's input becomes part of a program or of a command."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitship.front import cache_vcl, sticky_vcl
from gitship.front.app_vcl import AppFront, app_vcl, digest, digest_of
from gitship.front.cache_settings import ALL_COOKIES, CacheSettings, PreviousCache, Purge
from gitship.front.varnish_cli import _quoted
from tests.unit.front.golden import check
from tests.unit.front.test_app_vcl import LARGEST, NONE, ONE, THREE
from tests.unit.front.test_gate import parts

NAME = "app_shop_example_v12_1700000000000"
FULL = CacheSettings(60, 3600, ("_ga*", "consent"), ("utm_*", "fbclid"), 7200, ("/",))


def test_all_of_it_as_vcl() -> None:
    app = replace(ONE, cache=FULL, before=PreviousCache("7/fedcba9876543210", 1700007200), error_page='<p>"} down')
    check("cache.vcl", app_vcl(app, NAME, LARGEST))


@pytest.mark.parametrize("beside_others", [True, False])
def test_affinity_as_vcl(beside_others: bool) -> None:
    text = sticky_vcl.declarations(THREE.backends, beside_others=beside_others)
    check(f"sticky-{'header' if beside_others else 'plain'}.vcl", text)


def test_affinity_is_for_who_has_several_containers_and_asks_for_it() -> None:
    sticky = CacheSettings(sticky=True)
    assert "stuck" in app_vcl(replace(THREE, cache=sticky), NAME, LARGEST)
    assert "stuck" not in app_vcl(THREE, NAME, LARGEST)
    with_sockets = app_vcl(replace(THREE, cache=sticky, proxy=Path("/run/gitship/ws.sock")), NAME, LARGEST)
    assert "set bereq.backend = stuck.backend(by=KEY, key=stuck.key(req.http.x-gitship-sticky));" in with_sockets
    assert "new sockets" not in with_sockets
    assert "stuck" not in app_vcl(replace(ONE, cache=sticky), NAME, LARGEST)


@pytest.mark.parametrize(
    "other",
    [
        replace(ONE, cache=CacheSettings(ttl_s=1)),
        replace(ONE, cache=CacheSettings(grace_s=1)),
        replace(ONE, cache=CacheSettings(ignore_cookies=("a",))),
        replace(ONE, cache=CacheSettings(ignore_cookies=(ALL_COOKIES,))),
        replace(ONE, cache=CacheSettings(strip_query=("a",))),
        replace(ONE, cache=CacheSettings(assets_for_s=1)),
        replace(ONE, before=PreviousCache("7/0", 1)),
        replace(ONE, before=PreviousCache("7/0", 2)),
        replace(ONE, error_page="x"),
    ],
)
def test_the_digest_tells_that_a_rule_is_different(other: AppFront) -> None:
    assert digest(ONE, LARGEST) != digest(other, LARGEST)
    assert digest_of(app_vcl(other, NAME, LARGEST)) == digest(other, LARGEST)


def test_what_is_fetched_before_a_switch_makes_no_other_vcl() -> None:
    assert digest(ONE, LARGEST) == digest(replace(ONE, cache=CacheSettings(warm=("/",))), LARGEST)
    assert digest(NONE, LARGEST) == digest(replace(NONE, cache=FULL), LARGEST)


def test_the_release_before_is_not_asked_for_when_its_time_is_none() -> None:
    app = replace(ONE, before=PreviousCache("7/0", 1700000000), cache=CacheSettings(assets_for_s=0))
    assert 'hash_data("none")' in app_vcl(app, NAME, LARGEST)


@given(st.text(max_size=30), st.text(alphabet='ab*"\\\n;{}?&()[]|.-_ ', max_size=12))
def test_a_name_is_refused_or_stays_within_its_string(one: str, other: str) -> None:
    for name in (one, other, f"utm_{other}"):
        for field in ("strip_query", "ignore_cookies"):
            try:
                rules: dict[str, Any] = {field: (name,)}
                made = CacheSettings(**rules)
            except ValueError:
                continue
            if made.ignores_all_cookies:
                continue
            text = getattr(cache_vcl, field)(made)
            plain: dict[str, Any] = {field: ("a",)}
            assert parts(text)[0] == parts(getattr(cache_vcl, field)(CacheSettings(**plain)))[0]
            for string in parts(text)[1]:
                re.compile(string)


@given(st.integers() | st.none() | st.floats() | st.text(max_size=5))
def test_times_are_whole_seconds(value: Any) -> None:
    try:
        made = CacheSettings(ttl_s=value, grace_s=value, assets_for_s=value)
    except (ValueError, TypeError):
        return
    assert not made.ttl_s or re.fullmatch(r"[0-9]{1,8}", str(made.ttl_s))


@pytest.mark.parametrize("page", ["a\x00", "\x1b[2J", "\x7f"])
def test_an_error_page_has_no_control_characters(page: str) -> None:
    with pytest.raises(ValueError, match="control characters"):
        replace(ONE, error_page=page)


@pytest.mark.parametrize("key", ['a")', "a b", "", "x" * 300])
def test_the_key_of_the_release_before_is_a_word(key: str) -> None:
    with pytest.raises(ValueError, match="cannot be put into VCL"):
        replace(ONE, before=PreviousCache(key, 1))


# -- purges


@pytest.mark.parametrize(
    ("purge", "words"),
    [
        (Purge(), []),
        (Purge(url="/a.b?c=*"), ["obj.http.x-gitship-url", "~", r"^/a\.b\?c\=.*$"]),
        (
            Purge(url="HTTPS://Shop.example.com:8443/x"),
            ["obj.http.x-gitship-url", "~", "^/x$", "&&", "obj.http.x-gitship-host", "==", "shop.example.com"],
        ),
        (Purge(tag="a.b|c"), ["obj.http.x-gitship-tags", "~", r"(^|[\s,])a\.b\|c([\s,]|$)"]),
    ],
)
def test_the_words_of_a_purge(purge: Purge, words: list[str]) -> None:
    assert list(purge.ban("7")) == ["ban", "obj.http.x-gitship-app", "==", "7", *(["&&", *words] if words else [])]


@given(st.text(max_size=40), st.text(alphabet='/ab*"\\\n ;&|~=.?:@[]\t', max_size=20))
def test_a_purge_is_refused_or_adds_no_word_and_reaches_no_other_app(one: str, other: str) -> None:
    for text in (one, other, f"/{other}", f"http://a.example/{other}"):
        for field in ("url", "tag"):
            try:
                wanted: dict[str, Any] = {field: text}
                purge = Purge(**wanted)
            except ValueError:
                continue
            words = purge.ban("7")
            assert words[:4] == ("ban", "obj.http.x-gitship-app", "==", "7")
            assert not any(re.search(r"\s|\"", word) or not word.isprintable() for word in words)
            assert [w for w in words if w.startswith("obj.")] == list(words[1::4])
            assert "\n" not in " ".join(map(_quoted, words))


@pytest.mark.parametrize("url", ["blog", "", "/a b", '/"', "//" + "\n", "ftp://a/b", "http://", "http://a", "http:///x",
                                 "http://a b/c", "http://a@b/c", "http://*/x"])  # fmt: skip
def test_what_is_no_url(url: str) -> None:
    if url.startswith("http://") and url in ("http:///x",):
        assert Purge(url=url).host == ""
        return
    with pytest.raises(ValueError, match="not a path or URL"):
        Purge(url=url)
