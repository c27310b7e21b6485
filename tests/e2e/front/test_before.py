"""Files of the release before stay reachable for a while: pages that name them are still open."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from gitship.front.cache_settings import DEFAULT, CacheSettings, PreviousCache, Purge
from gitship.front.front import Front
from tests.e2e.front.asking import TOKEN, Answer, app, ask
from tests.e2e.front.conftest import Serve, switch
from tests.e2e.front.origin import Origin
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e

PUBLIC = "cache-control=public,max-age=60&content-type=text/javascript"
OLD = f"/assets/app.1.js?{PUBLIC}"
Get = Callable[..., Answer]


@pytest.fixture
def one() -> Iterator[Origin]:
    with Origin("v1") as made:
        yield made


@pytest.fixture
def two() -> Iterator[Origin]:
    with Origin("v2") as made:
        made.missing = {"/assets/app.1.js", "/gone"}
        yield made


@pytest.fixture
def host(serve: Serve, one: Origin) -> str:
    return serve(one)


@pytest.fixture
def get(shared: Front, host: str) -> Get:
    def go(path: str, method: str = "GET", **headers: str) -> Answer:
        return ask(shared.address, host, path, method, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return go


@pytest.fixture
def deploy(shared: Front, host: str, two: Origin) -> Callable[..., None]:
    """Switches to v2, which comes after v1."""
    slug = host.partition(".")[0]

    def go(for_s: int = 60, key: str = "", cache: CacheSettings = DEFAULT) -> None:
        before = PreviousCache(key or f"{slug}/v1", int(time.time()) + for_s)
        switch(shared, replace(app(slug, two, release="v2"), before=before, cache=cache))

    return go


def test_a_file_that_the_new_release_has_not_comes_from_the_one_before(
    get: Get, deploy: Callable[..., None], one: Origin, two: Origin
) -> None:
    get(OLD)
    deploy()
    for headers in ({}, {"Cookie": "id=7"}, {"Authorization": "me"}):
        answer = get(OLD, **headers)
        assert (answer.status, answer.text, answer.headers["x-cache"]) == (200, "v1 0", "previous"), headers
        assert not [h for h in answer.headers if h.startswith("x-gitship")]
    assert get(OLD, "HEAD").status == 200
    part = get(OLD, Range="bytes=0-1")
    assert (part.status, part.text) == (206, "v1")
    assert one.count("/assets/app.1.js") == 1
    assert get("/assets/app.2.js").text == "v2 0"
    assert get(f"/b?{PUBLIC}").headers["x-cache"] == "miss"
    assert get(f"/b?{PUBLIC}").headers["x-cache"] == "hit"


def test_a_404_that_is_itself_in_the_cache_is_no_hindrance(get: Get, deploy: Callable[..., None], two: Origin) -> None:
    get(OLD)
    deploy(key="nobody/v1")
    assert [get(OLD).headers["x-cache"] for _ in range(2)] == ["miss", "hit"]
    deploy()
    assert (get(OLD).status, get(OLD).headers["x-cache"]) == (200, "previous")
    assert two.count("/assets/app.1.js") == 1


def test_nor_is_it_for_a_visitor_with_cookies_whom_the_app_is_asked_for(
    get: Get, deploy: Callable[..., None], two: Origin
) -> None:
    path = "/assets/app.1.js?cache-control=max-age=60&content-type=text/javascript"
    get(path)
    deploy(key="nobody/v1")
    assert [get(path).status for _ in range(2)] == [404, 404]
    assert get(path, Cookie="id=7").text == "v2 has no such page"
    deploy()
    answer = get(path, Cookie="id=7")
    assert (answer.status, answer.text, answer.headers["x-cache"]) == (200, "v1 0", "previous")


@pytest.mark.parametrize(
    "path",
    [
        "/gone",  # says nothing of a cache
        "/gone?cache-control=private,max-age=60",
        "/gone?cache-control=no-store",
        f"/gone?{PUBLIC}&set-cookie=a=b",
        "/gone?cache-control=public,max-age=60&content-type=text/html",  # a page that was taken away
        f"/gone?{PUBLIC}&vary=*",
    ],
)
def test_what_was_no_public_file_is_gone(get: Get, deploy: Callable[..., None], path: str, two: Origin) -> None:
    assert get(path).status == 200
    deploy()
    answer = get(path)
    assert (answer.status, answer.text) == (404, "v2 has no such page")
    assert two.count("/gone") == 1  # asked once


def test_an_own_ttl_makes_no_file_of_a_page(shared: Front, host: str, get: Get, deploy: Callable[..., None],
                                           one: Origin) -> None:  # fmt: skip
    switch(shared, replace(app(host.partition(".")[0], one), cache=CacheSettings(ttl_s=60)))
    get("/gone?content-type=text/javascript")
    deploy()
    assert get("/gone?content-type=text/javascript").status == 404


def test_nothing_but_get_and_head_and_no_other_app(
    get: Get, deploy: Callable[..., None], one: Origin, two: Origin
) -> None:
    both = f"/assets/both.js?{PUBLIC}"
    get(OLD)
    get(both)
    deploy()
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert get(OLD, method).status == 404
    assert get(OLD, X_Gitship_Verify=TOKEN).status == 404
    assert get(both, X_Gitship_Before="serve").text == "v2 0"
    assert get(both, X_Gitship_Stale="serve", X_Gitship_Aside="over", X_Gitship_Cookie="a=b").text == "v2 0"
    assert "cookie" not in two.seen[-1].headers
    deploy(key="another/v1")
    assert get(OLD).status == 404
    assert get("/gone", X_Gitship_Before="serve").text == "v2 has no such page"
    assert get("/gone", X_Gitship_Before="there").text == "v2 has no such page"


def test_the_time_is_limited_and_none_means_never(get: Get, deploy: Callable[..., None]) -> None:
    get(OLD)
    deploy(for_s=2)
    assert get(OLD).headers["x-cache"] == "previous"
    wait_until(lambda: get(OLD).status != 200)
    deploy(cache=CacheSettings(assets_for_s=0))
    assert get(OLD).status == 404


def test_a_file_outlives_its_own_time(shared: Front, host: str, one: Origin, get: Get,
                                      deploy: Callable[..., None], two: Origin) -> None:  # fmt: skip
    short = "/gone?cache-control=max-age=1"
    switch(shared, replace(app(host.partition(".")[0], one), cache=CacheSettings(grace_s=0)))
    get(short)
    deploy()
    time.sleep(1.2)
    assert (get(short).text, get(short).headers["x-cache"]) == ("v1 0", "previous")
    time.sleep(0.2)
    # nothing is asked in the background for a release that is gone
    assert (one.count("/gone"), two.count("/gone")) == (1, 1)


def test_many_visitors_at_once_are_one_request_while_the_release_before_is_asked_for(
    get: Get, deploy: Callable[..., None], one: Origin, two: Origin
) -> None:
    get(OLD)
    deploy()
    two.pause_s = 0.3
    with ThreadPoolExecutor(200) as pool:
        assert {a.text for a in pool.map(get, [f"/new?{PUBLIC}"] * 200)} == {"v2 0"}
        assert {(a.text, a.headers["x-cache"]) for a in pool.map(get, [OLD] * 200)} == {("v1 0", "previous")}
    assert (two.count("/new"), two.count("/assets/app.1.js"), one.count("/assets/app.1.js")) == (1, 1, 1)


def test_a_purge_reaches_what_the_release_before_left(
    shared: Front, host: str, get: Get, deploy: Callable[..., None]
) -> None:
    get(OLD)
    deploy()
    shared.purge(host.partition(".")[0], Purge())
    assert get(OLD).status == 404
