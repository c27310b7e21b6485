"""An app that is down, fails, or hangs: what is in the cache goes on being served, and says so."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from gitship.front.app_vcl import PATIENCE_S
from gitship.front.backend_vcl import RESPONSE_TIMEOUT_S
from gitship.front.cache_settings import CacheSettings
from gitship.front.front import Front
from tests.e2e.front.asking import Answer, app, ask
from tests.e2e.front.conftest import switch
from tests.e2e.front.origin import Origin

pytestmark = pytest.mark.e2e

SOON = "cache-control=max-age=1,stale-while-revalidate=0"  # over after 1 s, as it is by default after 1 s + 10 s


@pytest.fixture
def get(shared: Front, host: str) -> Callable[[str], Answer]:
    return lambda path: ask(shared.address, host, path)


Get = Callable[[str], Answer]


def test_a_page_long_over_is_served_while_the_app_fails_and_asked_for_when_it_is_back(get: Get, origin: Origin) -> None:
    paths = [f"/{n}?{SOON}" for n in range(3)]
    strict = "/strict?cache-control=max-age=1,must-revalidate"
    limited = f"/limited?{SOON},stale-if-error=1"
    for path in (*paths, strict, limited):
        assert get(path).headers["x-cache"] == "miss"
    time.sleep(2.2)
    assert (get(paths[0]).headers["x-cache"], origin.count("/0")) == ("miss", 2)  # the app comes first
    origin.status = 500
    for _ in range(2):  # and again: one failure does not hide the copy from the next visitor
        stale = get(paths[1])
        assert (stale.status, stale.text, stale.headers["x-cache"]) == (200, "v1 0", "stale")
        assert int(stale.headers["age"]) >= 2
    assert [get(path).status for path in (strict, limited, "/other")] == [500, 500, 500]
    origin.stop()
    assert (get(paths[2]).status, get(paths[2]).headers["x-cache"]) == (200, "stale")
    assert get(strict).status == 503
    with Origin("v2", port=origin.port):
        assert get(paths[2]).text == "v2 0"


def test_how_long_is_the_owners_to_say(shared: Front, host: str, get: Get, origin: Origin) -> None:
    switch(shared, replace(app(host.partition(".")[0], origin), cache=CacheSettings(grace_s=1)))
    for path in (f"/a?{SOON}", f"/b?{SOON},stale-if-error=60"):
        get(path)
    origin.status = 502
    time.sleep(2.2)
    assert get(f"/a?{SOON}").status == 502
    assert get(f"/b?{SOON},stale-if-error=60").headers["x-cache"] == "stale"


def test_who_waits_for_an_app_that_hangs_gets_the_old_copy(
    get: Get, origin: Origin, monkeypatch: pytest.MonkeyPatch, shared: Front, host: str
) -> None:
    assert PATIENCE_S < RESPONSE_TIMEOUT_S
    monkeypatch.setattr("gitship.front.app_vcl.PATIENCE_S", 1)
    switch(shared, app(host.partition(".")[0], origin))
    get(f"/?{SOON}")
    time.sleep(1.2)
    origin.pause_s = 15
    assert get(f"/?{SOON}").headers["x-cache"] == "stale"


def test_an_own_error_page(shared: Front, host: str, get: Get, origin: Origin) -> None:
    page = '<h1>Down</h1> """ "} {" grüße\n'
    switch(shared, replace(app(host.partition(".")[0], origin), error_page=page))
    origin.stop()
    answer = get("/")
    assert (answer.status, answer.text, answer.headers["retry-after"]) == (503, page, "5")
    assert answer.headers["cache-control"] == "no-store"


def test_many_visitors_of_a_page_that_is_over_are_one_request_to_the_app(
    shared: Front, host: str, get: Get, origin: Origin
) -> None:
    path = "/x?cache-control=max-age=1"
    get(path)
    get(f"/long?{SOON}")
    time.sleep(1.2)
    origin.pause_s = 0.3
    with ThreadPoolExecutor(200) as pool:
        for asked, name in ((path, "/x"), (f"/long?{SOON}", "/long"), ("/new?cache-control=max-age=60", "/new")):
            before = origin.count(name)
            assert {a.status for a in pool.map(get, [asked] * 200)} == {200}
            assert origin.count(name) - before == 1, name


def test_a_switch_brings_no_stampede(shared: Front, host: str, get: Get, origin: Origin) -> None:
    path, over = "/x?cache-control=max-age=60", threading.Event()

    def visit(_: int) -> set[int]:
        seen = set()
        while not over.is_set():
            seen.add(get(path).status)
        return seen

    with Origin("v2") as two, ThreadPoolExecutor(50) as pool:
        two.pause_s = 0.3
        visitors = pool.map(visit, range(50))
        time.sleep(0.3)
        switch(shared, app(host.partition(".")[0], two, release="v2"))
        while get(path).text != "v2 0":
            time.sleep(0.02)
        over.set()
        assert set().union(*visitors) == {200}
        assert (origin.count("/x"), two.count("/x")) == (1, 1)


# -- probes


def test_when_no_probe_passes_containers_are_tried_and_old_pages_served(shared: Front, host: str, get: Get) -> None:
    with Origin("v1") as one:
        switch(shared, app(host.partition(".")[0], one, probe="/probe"))
        get(f"/?{SOON}")
        shared._control.command("backend.set_health", "*.b0_*", "sick")
        time.sleep(1.2)
        assert (get("/new").status, get("/new").text) == (200, "v1 0")
        assert get(f"/?{SOON}").headers["x-cache"] == "stale"  # at once, and asked for in the background
        assert ask(shared.address, host, "/", "POST", body=b"").status == 200
