"""What is cached, and what never."""

from __future__ import annotations

import http.client
import json
import subprocess
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gitship.front.app_vcl import app_vcl
from gitship.front.front import AppFront, Front
from tests.e2e.front.asking import TIMEOUT_S, app, ask
from tests.e2e.front.conftest import LOOPBACK, MEMORY_BYTES, Serve, switch
from tests.e2e.front.origin import Origin

pytestmark = pytest.mark.e2e

CACHED = "cache-control=public,max-age=60"


def _reached(front: Front, origin: Origin, host: str, path: str, headers: Mapping[str, str] | None = None) -> int:
    """How many of three equal requests got to the app."""
    before = len(origin.seen)
    for _ in range(3):
        assert ask(front.address, host, path, headers=headers).status == 200
    return len(origin.seen) - before


def _objects(front: Front) -> int:
    command = ["varnishstat", "-n", str(front._server.workdir), "-1", "-j", "-f", "MAIN.n_object"]
    done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=True)
    return int(json.loads(done.stdout)["counters"]["MAIN.n_object"]["value"])


@pytest.mark.parametrize(
    "says", [CACHED, "cache-control=s-maxage=60", "expires=Thu,%2031%20Dec%202099%2023:59:59%20GMT"]
)
def test_what_the_app_allows_is_cached(shared: Front, serve: Serve, says: str) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        assert _reached(shared, origin, host, f"/?{says}") == 1
        assert ask(shared.address, host, f"/?{says}").headers["x-cache"] == "hit"


@pytest.mark.parametrize(
    "says",
    [
        "",
        "cache-control=public",
        "cache-control=private,max-age=60",
        "cache-control=no-store",
        "cache-control=no-cache",
        "cache-control=max-age=0",
        "expires=0",
        "expires=-1",
        "expires=Thu,%2001%20Jan%201970%2000:00:00%20GMT",
        "expires=tomorrow",
        f"{CACHED}&set-cookie=a=b",
        f"{CACHED}&vary=*",
        f"{CACHED}&vary=accept,%20*",
    ],
)
def test_everything_else_is_not(shared: Front, serve: Serve, says: str) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        assert _reached(shared, origin, host, f"/?{says}") == 3
        assert ask(shared.address, host, f"/?{says}").headers["x-cache"] == "pass"


@pytest.mark.parametrize("header", ["Cookie", "Authorization"])
def test_what_belongs_to_one_visitor_neither_comes_from_the_cache_nor_gets_into_it(
    shared: Front, serve: Serve, header: str
) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        assert _reached(shared, origin, host, f"/?{CACHED}", {header: "me"}) == 3
        assert _reached(shared, origin, host, f"/?{CACHED}") == 1
        assert _reached(shared, origin, host, f"/?{CACHED}", {header: "me"}) == 3


def test_requests_for_what_is_not_cached_do_not_wait_for_each_other(shared: Front, serve: Serve) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        origin.barrier = 1
        ask(shared.address, host, "/together")  # the first one finds out that it cannot be cached
        origin.barrier = 9
        with ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(lambda _: ask(shared.address, host, "/together").status, range(8)))
        assert statuses == [200] * 8  # each needs all others to be with the app at the same time


def test_nor_when_it_is_tried_again_whether_it_is_for_the_cache(
    shared: Front, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    def soon(wanted: AppFront, name: str, largest: int) -> str:
        text = app_vcl(wanted, name, largest)
        for said, shorter in (("ttl = 120s", "ttl = 0.1s"), ("(pass(60s))", "(pass(0.1s))")):
            assert not wanted.backends or said in text
            text = text.replace(said, shorter)
        return text

    monkeypatch.setattr("gitship.front.loaded_vcls.app_vcl", soon)
    with Origin("v1") as origin, ThreadPoolExecutor(8) as pool:
        host = serve(origin)
        origin.barrier = 1
        assert ask(shared.address, host, "/together").status == 200
        origin.barrier = 8
        for _ in range(8):
            time.sleep(0.2)
            answers = [pool.submit(ask, shared.address, host, "/together") for _ in range(8)]
            assert {answer.result().status for answer in answers} == {200}
            origin._together = 0


@pytest.mark.parametrize(
    ("says", "status"),
    [("", 200), ("cache-control=private,max-age=0", 200), (f"{CACHED}&set-cookie=a=b", 200), ("", 404)],
)
def test_what_is_not_kept_does_not_fill_the_memory_with_notes_of_that(
    shared: Front, serve: Serve, says: str, status: int
) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        origin.status = status
        before = _objects(shared)
        with ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(lambda _: ask(shared.address, host, f"/?{says}").status, range(400)))
        assert statuses == [status] * 400
        assert _objects(shared) - before < 60
        assert origin.count("/") == 400


def test_what_is_not_kept_is_asked_for_as_the_visitor_asks(shared: Front, serve: Serve) -> None:
    """A visitor who has the page already needn't be sent it again."""
    with Origin("v1") as origin:
        host = serve(origin)
        statuses = {ask(shared.address, host, "/?etag=x", headers={"If-None-Match": "x"}).status for _ in range(30)}
        assert 304 in statuses
        assert any(seen.headers.get("if-none-match") == "x" for seen in origin.seen)


def test_a_page_that_was_not_for_the_cache_is_as_soon_as_the_app_says_so(shared: Front, serve: Serve) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        origin.status = 500
        assert ask(shared.address, host, f"/?{CACHED}").headers["x-cache"] == "pass"
        origin.status = 200
        assert [ask(shared.address, host, f"/?{CACHED}").headers["x-cache"] for _ in range(2)] == ["miss", "hit"]


def test_a_response_that_would_fill_the_cache_goes_through_whole_and_leaves_the_rest_there(
    shared: Front, serve: Serve
) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        for n in range(50):
            ask(shared.address, host, f"/{n}?{CACHED}")
        size = 2 * MEMORY_BYTES
        answer = ask(shared.address, host, f"/large?n={size}&{CACHED}")
        assert (answer.headers["x-cache"], len(answer.text)) == ("pass", size)
        assert {ask(shared.address, host, f"/{n}?{CACHED}").headers["x-cache"] for n in range(50)} == {"hit"}


def test_a_full_cache_makes_room_for_a_response_in_place_of_many_small_ones(base: Path) -> None:
    front = Front(LOOPBACK, base / "varnish", 4 << 20)
    try:
        front.ensure_running()
        front.set_hosts({"small.localhost": "small"})
        with Origin("v1") as origin:
            switch(front, app("small", origin))
            connection = http.client.HTTPConnection(front.address.host, front.address.port, timeout=TIMEOUT_S)
            for n in range(1800):  # 2 KiB each, more than the cache
                connection.request("GET", f"/large?n=2048&{CACHED}&x={n}", headers={"Host": "small.localhost"})
                connection.getresponse().read()
            connection.close()
            size = 250 << 10
            answer = ask(front.address, "small.localhost", f"/large?n={size}&{CACHED}")
            assert (answer.headers["x-cache"], len(answer.text)) == ("miss", size)
    finally:
        front.stop()


def test_a_release_starts_with_an_empty_cache_and_finds_its_own_again(shared: Front, serve: Serve) -> None:
    path = f"/?{CACHED}"
    with Origin("v1") as one, Origin("v2") as two:
        host = serve(one, release="v1")
        slug = host.removesuffix(".localhost")
        assert ask(shared.address, host, path).text == "v1 0"
        switch(shared, app(slug, two, release="v2"))
        assert ask(shared.address, host, path).text == "v2 0"
        switch(shared, app(slug, one, release="v1"))
        back = ask(shared.address, host, path)
        assert (back.text, back.headers["x-cache"]) == ("v1 0", "hit")


def test_two_apps_never_share_a_cached_page(shared: Front, serve: Serve) -> None:
    with Origin("one") as one, Origin("two") as two:
        host = serve(one)
        slug = host.removesuffix(".localhost")
        shared.set_hosts({host: slug, f"other.{host}": f"{slug}-o"})
        switch(shared, app(f"{slug}-o", two))
        assert ask(shared.address, host, f"/?{CACHED}").text == "one 0"
        assert ask(shared.address, f"other.{host}", f"/?{CACHED}").text == "two 0"
        shared.remove(f"{slug}-o")


def test_an_expired_page_is_served_while_the_app_is_down_unless_the_app_forbids_it(shared: Front, serve: Serve) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        for says in ("public,max-age=1", "public,max-age=1,must-revalidate"):
            ask(shared.address, host, f"/{len(says)}?cache-control={says}")
    age = 0
    while age <= 1:  # Varnish counts in whole seconds; older than 1 s is older than allowed
        answer = ask(shared.address, host, "/16?cache-control=public,max-age=1")
        assert answer.status == 200
        age = int(answer.headers["age"])
    assert ask(shared.address, host, "/32?cache-control=public,max-age=1,must-revalidate").status == 503


def test_a_page_of_an_app_that_answers_with_an_error_stays_in_the_cache(shared: Front, serve: Serve) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        path = "/?cache-control=public,max-age=1"
        ask(shared.address, host, path)
        origin.status = 500
        while len(origin.seen) < 3:  # expired, and asked for in the background, twice
            assert ask(shared.address, host, path).status == 200
