"""What is sent to a page throws its old copy out of the cache: RFC 9111, 4.4."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from gitship.front.cache_settings import CacheSettings
from gitship.front.front import Front
from tests.e2e.front.asking import TIMEOUT_S, app, ask
from tests.e2e.front.conftest import Serve, switch
from tests.e2e.front.origin import WAIT_S, Origin
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e

CACHED = "cache-control=public,max-age=600"
PAGE = f"/page?{CACHED}"
LARGE_BYTES = 8 << 20


def _bans(front: Front) -> int:
    """In Varnish's list, those that only wait for their turn to be taken out of it included."""
    return len(front._control.command("ban.list").splitlines()) - 1


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "M-SEARCH"])
@pytest.mark.parametrize("status", [200, 204, 303])
def test_after_a_form_was_sent_visitors_have_the_new_page(
    shared: Front, serve: Serve, method: str, status: int
) -> None:
    with Origin("old") as origin:
        host = serve(origin)
        assert [ask(shared.address, host, PAGE).headers["x-cache"] for _ in range(2)] == ["miss", "hit"]
        origin.status = status
        sent = ask(shared.address, host, PAGE, method, body=b"a=b")
        assert (sent.status, origin.seen[-1].method, origin.seen[-1].body_bytes) == (status, method, 3)
        assert not [name for name in origin.seen[-1].headers if name.startswith("x-gitship-")]
        origin.status, origin.version = 200, "new"
        assert [ask(shared.address, host, PAGE).text for _ in range(2)] == ["new 0", "new 0"]
        assert origin.count("/page") == 3


@pytest.mark.parametrize("status", [404, 422, 500, 503])
def test_a_form_that_the_app_does_not_take_changes_no_page(shared: Front, serve: Serve, status: int) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        ask(shared.address, host, PAGE)
        origin.status = status
        assert ask(shared.address, host, PAGE, "POST", body=b"a=b").status == status
        assert ask(shared.address, host, PAGE).headers["x-cache"] == "hit"


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
@pytest.mark.parametrize("headers", [{}, {"Cookie": "a=b"}, {"X-Gitship-Changes": PAGE, "X-Gitship-Sent": "/"}])
def test_what_only_asks_changes_no_page(shared: Front, serve: Serve, method: str, headers: dict[str, str]) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        ask(shared.address, host, PAGE)
        assert ask(shared.address, host, PAGE, method, headers=headers).status == 200
        assert {seen.url for seen in origin.seen} == {PAGE}
        assert ask(shared.address, host, PAGE).headers["x-cache"] == "hit"


def test_a_host_that_another_app_has_had_meanwhile_has_its_pages_still(shared: Front, serve: Serve) -> None:
    with Origin("one") as one, Origin("two") as two:
        host = serve(one)
        slug = host.removesuffix(".localhost")
        ask(shared.address, host, PAGE)
        switch(shared, app(f"{slug}-o", two))
        shared.set_hosts({host: f"{slug}-o"})
        ask(shared.address, host, PAGE)
        assert ask(shared.address, host, PAGE, "POST", body=b"a=b").text == "two 3"
        shared.set_hosts({host: slug})
        assert ask(shared.address, host, PAGE).headers["x-cache"] == "hit"
        shared.remove(f"{slug}-o")


@pytest.mark.parametrize("other", ["/pages", "/page/", "/", "/page?x=1"])
def test_other_pages_of_the_app_stay(shared: Front, serve: Serve, other: str) -> None:
    kept = f"{other}{'&' if '?' in other else '?'}{CACHED}"
    with Origin("v1") as origin:
        host = serve(origin)
        for path in (PAGE, kept):
            ask(shared.address, host, path)
        assert ask(shared.address, host, PAGE, "POST", body=b"a=b").status == 200
        assert ask(shared.address, host, kept).headers["x-cache"] == "hit"
        assert ask(shared.address, host, PAGE).headers["x-cache"] == "miss"


def test_another_apps_page_of_the_same_path_stays_and_another_hosts(shared: Front, serve: Serve) -> None:
    with Origin("one") as one, Origin("two") as two:
        host = serve(one)
        slug = host.removesuffix(".localhost")
        shared.set_hosts({host: slug, f"also.{host}": slug, f"other.{host}": f"{slug}-o"})
        switch(shared, app(f"{slug}-o", two))
        for name in (host, f"also.{host}", f"other.{host}"):
            ask(shared.address, name, PAGE)
        assert ask(shared.address, host, PAGE, "POST", body=b"a=b").status == 200
        answers = {n: ask(shared.address, n, PAGE).headers["x-cache"] for n in (host, f"also.{host}", f"other.{host}")}
        assert answers == {host: "miss", f"also.{host}": "hit", f"other.{host}": "hit"}
        shared.remove(f"{slug}-o")


def test_all_variants_of_the_page_are_thrown_out(shared: Front, serve: Serve) -> None:
    """Also by a script, which asks for something else than the browser did for the page."""
    path = f"{PAGE}&vary=accept"
    kinds = ("text/html", "application/json")
    with Origin("old") as origin:
        host = serve(origin)
        for kind in kinds:
            ask(shared.address, host, path, headers={"Accept": kind})
        ask(shared.address, host, path, "POST", headers={"Accept": "*/*"}, body=b"{}")
        assert {ask(shared.address, host, path, headers={"Accept": kind}).headers["x-cache"] for kind in kinds} == {
            "miss"
        }


def test_a_page_that_is_past_its_time_is_not_served_once_more(shared: Front, serve: Serve) -> None:
    with Origin("old") as origin:
        host = serve(origin)
        path = "/page?cache-control=public,max-age=1,stale-while-revalidate=600"
        assert ask(shared.address, host, path).text == "old 0"
        origin.status = 500  # no newer one comes in the background
        while ask(shared.address, host, path).headers["x-cache"] != "stale" or origin.count("/page") < 2:
            pass
        origin.status, origin.version = 200, "new"
        ask(shared.address, host, path, "POST", body=b"a=b")
        assert ask(shared.address, host, path).text == "new 0"


def test_of_a_release_that_was_gone_back_to_the_page_of_before_is_gone(shared: Front, serve: Serve) -> None:
    with Origin("one") as one, Origin("two") as two:
        host = serve(one, release="v1")
        slug = host.removesuffix(".localhost")
        ask(shared.address, host, PAGE)
        switch(shared, app(slug, two, release="v2"))
        ask(shared.address, host, PAGE)
        ask(shared.address, host, PAGE, "POST", body=b"a=b")
        switch(shared, app(slug, one, release="v1"))
        assert ask(shared.address, host, PAGE).headers["x-cache"] == "miss"


def test_what_is_stripped_for_the_cache_is_not_for_the_app_that_is_sent_something(shared: Front, serve: Serve) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        slug = host.removesuffix(".localhost")
        switch(shared, replace(app(slug, origin), cache=CacheSettings(strip_query=("utm_*",))))
        ask(shared.address, host, PAGE)
        sent = f"{PAGE}&utm_source=letter"
        ask(shared.address, host, sent, "POST", body=b"a=b")
        assert origin.seen[-1].url == sent
        assert ask(shared.address, host, PAGE).headers["x-cache"] == "miss"


def test_a_form_does_not_wait_for_the_page_that_is_just_being_fetched(shared: Front, serve: Serve) -> None:
    with Origin("v1") as origin, ThreadPoolExecutor(2) as pool:
        host = serve(origin)
        fetched = pool.submit(ask, shared.address, host, "/wait")
        assert origin.arrived.wait(TIMEOUT_S)
        sent = pool.submit(ask, shared.address, host, "/wait", "POST", body=b"a=b")
        wait_until(lambda: origin.count("/wait") == 2, WAIT_S / 2, "both are with the app")
        origin.go_on.set()
        assert (fetched.result().status, sent.result().status) == (200, 200)


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("chunked", [True, False])
def test_a_large_form_that_waits_for_100_continue_arrives_whole(
    shared: Front, serve: Serve, cached: bool, chunked: bool
) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        if cached:
            ask(shared.address, host, PAGE)
        body: bytes | Iterator[bytes] = bytes(LARGE_BYTES)
        if chunked:
            body = iter([bytes(LARGE_BYTES // 4)] * 4)
        sent = ask(shared.address, host, PAGE, "POST", {"Expect": "100-continue"}, body)
        assert sent.text == f"v1 {LARGE_BYTES}"


def test_a_thousand_forms_to_an_app_that_caches_nothing_leave_no_ban(shared: Front, serve: Serve) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        before = _bans(shared)
        with ThreadPoolExecutor(8) as pool:
            for method in ("POST", "GET", "PUT"):
                sent = pool.map(lambda n, how=method: ask(shared.address, host, f"/{n}", how).status, range(500))
                assert set(sent) == {200}
        assert _bans(shared) <= before


def test_a_thousand_forms_to_pages_that_are_cached_leave_one_ban_a_page(shared: Front, serve: Serve) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        for n in range(10):
            ask(shared.address, host, f"/{n}?{CACHED}")
        before = _bans(shared)
        for n in range(1000):
            assert ask(shared.address, host, f"/{n % 10}?{CACHED}", "POST", body=b"a").status == 200
        assert _bans(shared) <= before + 10
