"""What an owner says of the cache: for how long, whose cookies, which parameters, and what is forgotten."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from gitship.front.cache_settings import CacheSettings, Purge
from gitship.front.front import Front
from tests.e2e.front.asking import Answer, app, ask
from tests.e2e.front.conftest import switch
from tests.e2e.front.origin import Origin
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e

PUBLIC = "cache-control=public,max-age=60"
Get = Callable[..., Answer]


@pytest.fixture
def rules(shared: Front, host: str, origin: Origin) -> Callable[[CacheSettings], None]:
    """Gives the app other rules, as a command does: with the same key."""

    def put(cache: CacheSettings) -> None:
        switch(shared, replace(app(host.partition(".")[0], origin), cache=cache))

    return put


@pytest.fixture
def get(shared: Front, host: str) -> Get:
    def go(path: str = "/", **headers: str) -> Answer:
        return ask(shared.address, host, path, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return go


# -- ttl


def test_with_a_ttl_what_the_app_says_nothing_of_is_kept_and_nothing_else(
    get: Get, rules: Callable[[CacheSettings], None], origin: Origin
) -> None:
    assert [get("/a").headers["x-cache"] for _ in range(2)] == ["pass", "pass"]
    rules(CacheSettings(ttl_s=60))
    assert [get("/b").headers["x-cache"] for _ in range(2)] == ["miss", "hit"]
    for says in ("set-cookie=a=b", "cache-control=private", "cache-control=no-cache", "cache-control=no-store",
                 "vary=*", "cache-control=max-age=0", "expires=0"):  # fmt: skip
        assert [get(f"/?{says}").headers["x-cache"] for _ in range(2)] == ["pass", "pass"], says
    for header in ("Cookie", "Authorization"):
        assert get("/b", **{header: "me"}).headers["x-cache"] == "pass"
    origin.status = 404
    assert [get("/c").headers["x-cache"] for _ in range(2)] == ["pass", "pass"]
    origin.status = 200
    rules(CacheSettings(ttl_s=1))
    get("/d")
    time.sleep(1.1)
    assert get("/d").headers["x-cache"] == "stale"


# -- cookies


def test_ignored_cookies_neither_keep_a_page_from_the_cache_nor_reach_the_app_for_it(
    get: Get, rules: Callable[[CacheSettings], None], origin: Origin
) -> None:
    rules(CacheSettings(ignore_cookies=("*",)))
    assert [get(f"/?{PUBLIC}", Cookie=f"id={n}").headers["x-cache"] for n in range(3)] == ["miss", "hit", "hit"]
    assert [s.headers.get("cookie") for s in origin.seen] == [None]


def test_what_is_not_cached_gets_its_cookies_all_the_same(
    get: Get, rules: Callable[[CacheSettings], None], origin: Origin
) -> None:
    rules(CacheSettings(ignore_cookies=("*",)))
    for _ in range(2):
        assert get("/account", Cookie="id=7").headers["x-cache"] == "pass"
    assert [s.headers.get("cookie") for s in origin.seen] == [None, "id=7", "id=7"]
    origin.seen.clear()
    get("/", Cookie="id=7", Authorization="me")
    get(f"/r?{PUBLIC}", Cookie="id=7", Range="bytes=0-0")
    assert [s.headers.get("cookie") for s in origin.seen] == ["id=7", "id=7"]
    assert not [h for s in origin.seen for h in s.headers if h.startswith("x-gitship")]


@pytest.mark.parametrize(
    ("cookie", "cache"),
    [
        ("_ga=1", "hit"),
        ("_ga=1; _gid=2;_ga_XY=3", "hit"),
        ("consent", "hit"),
        ("id=7; _ga=1", "pass"),
        ("_ga=1; id=7", "pass"),
        ("x_ga=1", "pass"),
        ("consents=1", "pass"),
        ("a=b_ga=1", "pass"),
    ],
)
def test_only_the_named_cookies_are_ignored(
    get: Get, rules: Callable[[CacheSettings], None], origin: Origin, cookie: str, cache: str
) -> None:
    rules(CacheSettings(ignore_cookies=("_ga*", "_gid", "consent")))
    get(f"/?{PUBLIC}")
    assert get(f"/?{PUBLIC}", Cookie=cookie).headers["x-cache"] == cache
    if cache == "pass":
        assert origin.seen[-1].headers["cookie"] == cookie  # all of them


def test_a_file_that_the_app_calls_public_is_shared_by_visitors_with_cookies(get: Get, origin: Origin) -> None:
    path = f"/app.1.js?{PUBLIC}"
    assert [get(path, Cookie=f"id={n}").headers["x-cache"] for n in range(2)] == ["miss", "hit"]
    assert origin.seen[0].headers.get("cookie") is None
    for other in (f"{path}&vary=Cookie", "/a.js?cache-control=max-age=60", "/b.js", f"/page?{PUBLIC}&x=.js"):
        assert get(other).status == 200
        assert get(other, Cookie="id=7").headers["x-cache"] == "pass", other
        assert origin.seen[-1].headers["cookie"] == "id=7", other


# -- parameters


@pytest.mark.parametrize(
    ("asked", "got"),
    [
        ("/?utm_source=a&b=1&fbclid=x", "/?b=1"),
        ("/?utm_source=a", "/"),
        ("/?utm_a=1&utm_b=2&c=3&utm_d", "/?c=3"),
        ("/?b=1&fbclid=", "/?b=1"),
        ("/?fbclid2=1", "/?fbclid2=1"),
        ("/?a=fbclid=1", "/?a=fbclid=1"),
        ("/?x&", "/?x&"),
        ("/fbclid=1", "/fbclid=1"),
    ],
)
def test_parameters_are_taken_out_before_the_cache_and_the_app(
    shared: Front, host: str, get: Get, rules: Callable[[CacheSettings], None], origin: Origin, asked: str, got: str
) -> None:
    rules(CacheSettings(strip_query=("utm_*", "fbclid")))
    get(asked)
    assert origin.seen[-1].url == got
    ask(shared.address, host, asked, "POST", body=b"")
    assert origin.seen[-1].url == asked


# -- what HTTP has


def test_vary_conditional_requests_and_ranges_from_the_cache(get: Get, origin: Origin) -> None:
    path = f'/?{PUBLIC}&vary=X-Lang&etag="1"'
    assert [get(path, X_Lang=lang).headers["x-cache"] for lang in "aabb"] == ["miss", "hit", "miss", "hit"]
    same = get(path, X_Lang="a", If_None_Match='"1"')
    assert (same.status, same.text) == (304, "")
    assert get(path, X_Lang="a", If_None_Match='"2"').status == 200
    part = get(path, X_Lang="a", Range="bytes=1-2")
    assert (part.status, part.text, part.headers["content-range"]) == (206, "1 ", "bytes 1-2/4")
    assert part.headers["x-cache"] == "hit"
    assert get(path, X_Lang="a", Range="bytes=9-").status == 416
    assert len(origin.seen) == 2


# -- purge


def _kept(get: Get, *paths: str) -> list[str]:
    return [get(path).headers["x-cache"] for path in paths]


def test_a_purge_forgets_what_fits_and_no_more(shared: Front, host: str, get: Get) -> None:
    owner = host.partition(".")[0]
    tagged = [f"/{n}?{PUBLIC}&{header}" for n, header in enumerate(("cache-tag=a,b", "surrogate-key=b%20c", "xkey=b"))]
    paths = [f"/blog/1?{PUBLIC}", f"/blog/2?{PUBLIC}", f"/shop?{PUBLIC}", *tagged]
    _kept(get, *paths)
    assert _kept(get, *paths) == ["hit"] * 6
    assert not {h for h in get(tagged[0]).headers if h.startswith(("x-gitship", "cache-tag", "surrogate", "xkey"))}

    def forgotten(purge: Purge, of: str = owner) -> list[str]:
        shared.purge(of, purge)
        kept = _kept(get, *paths)
        return [path.partition("?")[0] for path, cache in zip(paths, kept, strict=True) if cache == "miss"]

    assert forgotten(Purge(), of="another") == []
    assert forgotten(Purge(url="/blog/1")) == []
    assert forgotten(Purge(url="/blog/1*")) == ["/blog/1"]
    assert forgotten(Purge(url=paths[2])) == ["/shop"]
    assert forgotten(Purge(url="/blog/*")) == ["/blog/1", "/blog/2"]
    assert forgotten(Purge(url=f"http://{host}:8080/s*")) == ["/shop"]
    assert forgotten(Purge(url="http://other.example/s*")) == []
    assert forgotten(Purge(url="/.*")) == []
    assert forgotten(Purge(tag="b")) == ["/0", "/1", "/2"]
    assert forgotten(Purge(tag="a")) == ["/0"]
    assert forgotten(Purge(tag="c")) == ["/1"]
    assert forgotten(Purge(tag=".")) == []
    assert forgotten(Purge(tag="b", url="/2*")) == ["/2"]
    assert len(forgotten(Purge())) == 6


@pytest.mark.parametrize("says", ["max-age=1,must-revalidate", "max-age=1"])
def test_a_page_that_is_still_right_is_not_sent_again_and_keeps_its_tags(
    shared: Front, host: str, get: Get, origin: Origin, says: str
) -> None:
    page = f'/?cache-control={says}&cache-tag=a&etag="one"'

    def asked(since: int = 0) -> list[bool]:
        """Of each request that the app has seen: was it about a copy?"""
        assert get(page).text == "v1 0"  # also when the app has sent nothing
        return ["if-none-match" in s.headers for s in origin.seen[since:]]

    wait_until(lambda: len(asked()) > 1, 30, "it is asked for again")
    assert asked()[:2] == [False, True]
    shared.purge(host.partition(".")[0], Purge(tag="a"))
    before = len(origin.seen)
    wait_until(lambda: False in asked(before), 30, "it is forgotten, not asked about")


def test_purges_are_cleaned_up_in_the_background(shared: Front, host: str, get: Get) -> None:
    """Bans that ask of a request, not an object, would stay for ever and hold back all others."""
    shared._control.command("param.set", "ban_lurker_age", "0.1")
    shared._control.command("param.set", "ban_lurker_sleep", "0.01")
    for n in range(20):
        get(f"/{n}?{PUBLIC}")
        shared.purge(host.partition(".")[0], Purge(url=f"/{n}*", tag="x" if n % 2 else None))
    wait_until(lambda: shared._control.command("ban.list").count("\n") <= 3, every_s=0.05)
