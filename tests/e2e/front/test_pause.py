"""Requests wait in Varnish while their app is paused, and none is lost, whatever ends the pause."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from gitship.errors import FrontError
from gitship.front.front import AppFront, Front
from gitship.front.gate import Gate, Login
from tests.e2e.front.asking import TIMEOUT_S, Answer, app, ask, raw, until_closed
from tests.e2e.front.conftest import Serve, switch
from tests.e2e.front.http2 import Visitor
from tests.e2e.front.origin import Origin
from tests.e2e.front.socketing import said, websocket
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e

releases = itertools.count(1)  # each with a pause of its own
CACHED = "/page?cache-control=public,max-age=60"


@contextmanager
def paused(front: Front, wanted: AppFront, seconds: float = 20.0) -> Iterator[None]:
    """The app, which is served, is paused; at the end its requests go on."""
    front.pauses.begin(wanted.slug, next(releases), time.time() + seconds)
    try:
        switch(front, wanted)
        front.pauses.hold(wanted.slug, f"{wanted.slug}.localhost")
        yield
    finally:
        front.pauses.end(wanted.slug)
        switch(front, wanted)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(32) as made:
        yield made


def wait_until_busy(front: Front, slug: str, requests: int) -> None:
    """gitship's own request is busy twice."""

    def busy() -> bool:
        vcl = front.labelled(slug)
        return vcl is not None and front.busy(vcl) >= requests + 2

    wait_until(busy, TIMEOUT_S, f"{requests} requests wait")


def test_requests_wait_with_bodies_of_any_size_and_reach_the_app_once(
    shared: Front, serve: Serve, pool: ThreadPoolExecutor
) -> None:
    sizes = [0, 1, 70_000, 20 << 20]
    with Origin("v1") as origin:
        host = serve(origin)
        slug = host.removesuffix(".localhost")
        waiting: list[Future[Answer]] = []
        with paused(shared, app(slug, origin)):
            waiting += [pool.submit(ask, shared.address, host, f"/{n}") for n in range(3)]
            waiting += [pool.submit(ask, shared.address, host, "/p", "POST", body=bytes(size)) for size in sizes]
            waiting += [pool.submit(ask, shared.address, host, "/p", "PUT", body=iter([bytes(1 << 20)] * 20))]
            wait_until_busy(shared, slug, len(waiting))
            assert origin.seen == []
            assert not any(answer.done() for answer in waiting)
        texts = [answer.result(TIMEOUT_S).text for answer in waiting]
        assert texts == [*["v1 0"] * 3, *(f"v1 {size}" for size in sizes), f"v1 {20 << 20}"]
        assert len(origin.seen) == len(waiting)
        assert {s.headers["x-forwarded-for"] for s in origin.seen} == {"127.0.0.1"}
        assert not [name for s in origin.seen for name in s.headers if "gitship" in name]


def test_other_apps_and_requests_under_way_go_on(shared: Front, serve: Serve, pool: ThreadPoolExecutor) -> None:
    with Origin("v1") as origin, Origin("other") as other:
        host = serve(origin)
        slug = host.removesuffix(".localhost")
        shared.set_hosts({host: slug, f"other.{host}": f"{slug}-o"})
        switch(shared, app(f"{slug}-o", other))
        slow = pool.submit(ask, shared.address, host, "/wait")
        assert origin.arrived.wait(TIMEOUT_S)
        with paused(shared, app(slug, origin)):
            assert ask(shared.address, f"other.{host}").text == "other 0"
            origin.go_on.set()
            assert slow.result(TIMEOUT_S).text == "v1"
        shared.remove(f"{slug}-o")


@pytest.mark.parametrize("how", ["limit", "killed"])
def test_requests_go_on_when_nobody_ends_the_pause(
    shared: Front, serve: Serve, pool: ThreadPoolExecutor, how: str
) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        slug = host.removesuffix(".localhost")
        wanted = app(slug, origin)
        with paused(shared, wanted, seconds=2.0 if how == "limit" else 25.0):
            began = time.monotonic()
            waiting = [pool.submit(ask, shared.address, host, "/p", "POST", body=b"x") for _ in range(20)]
            wait_until_busy(shared, slug, len(waiting))
            if how == "killed":  # as the kernel does for a process that is gone
                _, hold = shared.pauses._paused[slug]
                for end in (hold._listener, hold._answering, hold._asking):
                    assert end is not None
                    end.close()
            assert {answer.result(TIMEOUT_S).text for answer in waiting} == {"v1 1"}
            assert ask(shared.address, host, "/p", "POST", body=b"xy").text == "v1 2"  # the VCL is still the pause's
            if how == "limit":
                assert time.monotonic() - began >= 1.0
        assert len(origin.seen) == 21


def test_nobody_waits_after_the_limit_whenever_gitship_comes(
    shared: Front, serve: Serve, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gitship.front.pause_request.TIMEOUT_S", 1.0)
    with Origin("v1") as origin:
        host = serve(origin)
        slug = host.removesuffix(".localhost")
        shared.pauses.begin(slug, next(releases), time.time() - 0.5)
        try:
            switch(shared, app(slug, origin))
            with pytest.raises(FrontError, match="does not hold requests"):
                shared.pauses.hold(slug, host)
            assert ask(shared.address, host).text == "v1 0"
        finally:
            shared.pauses.end(slug)


def test_a_pause_outlives_varnishs_worker(front: Front, pool: ThreadPoolExecutor) -> None:
    with Origin("v1") as origin:
        front.set_hosts({"a.localhost": "a"})
        wanted = app("a", origin)
        switch(front, wanted)
        with paused(front, wanted):
            manager = front._server._varnishd.pid()
            [worker] = front._server._varnishd._daemon.processes() - {manager or 0}
            os.kill(worker, signal.SIGKILL)
            wait_until(lambda: not front.pauses.holds("a"), TIMEOUT_S, "the worker is gone")
            wait_until(front.alive, TIMEOUT_S, "the manager has a new worker")
            wait_until(lambda: _held(front, "a"), TIMEOUT_S, "Varnish holds requests again")
            answer = pool.submit(ask, front.address, "a.localhost")
            wait_until_busy(front, "a", 1)
            assert not answer.done()
        assert answer.result(TIMEOUT_S).text == "v1 0"


def _held(front: Front, slug: str) -> bool:
    try:
        front.pauses.hold(slug, f"{slug}.localhost")
    except Exception:
        return False
    return front.pauses.holds(slug)


def test_a_pause_holds_over_a_switch_and_who_waits_since_before_is_served_by_the_old_release(
    shared: Front, serve: Serve, pool: ThreadPoolExecutor
) -> None:
    with Origin("v1") as one, Origin("v2") as two:
        host = serve(one)
        slug = host.removesuffix(".localhost")
        with paused(shared, app(slug, one)):
            old = shared.labelled(slug)
            before = pool.submit(ask, shared.address, host, "/p", "POST", body=b"x")
            wait_until_busy(shared, slug, 1)
            switch(shared, app(slug, two, release="v2"))
            after = pool.submit(ask, shared.address, host, "/p", "POST", body=b"x")
            wait_until(lambda: shared.busy(shared.labelled(slug) or "") == 1, TIMEOUT_S, "the second one waits")
            assert shared.busy(old or "") == 3  # so the old containers are kept
            assert one.seen == two.seen == []
            shared.pauses.end(slug)
            assert (before.result(TIMEOUT_S).text, after.result(TIMEOUT_S).text) == ("v1 1", "v2 1")


def test_sockets_and_http2_wait_too(shared: Front, serve: Serve, pool: ThreadPoolExecutor) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        slug = host.removesuffix(".localhost")
        with closing(Visitor(shared.address, host)) as visitor:
            assert visitor.ask("/").body == b"v1 0"
            with paused(shared, app(slug, origin)):
                opened = pool.submit(websocket, shared.address, host)
                asked = pool.submit(visitor.ask, "/p", b"x" * 100_000)
                wait_until_busy(shared, slug, 2)
                assert len(origin.seen) == 1
            assert asked.result(TIMEOUT_S).body == b"v1 100000"
            with opened.result(TIMEOUT_S) as connection:
                assert said(connection, b"hello") == b"v1: hello"


def test_a_cached_page_waits_and_is_still_cached(shared: Front, serve: Serve, pool: ThreadPoolExecutor) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        slug = host.removesuffix(".localhost")
        ask(shared.address, host, CACHED)
        with paused(shared, app(slug, origin)):
            answer = pool.submit(ask, shared.address, host, CACHED)
            wait_until_busy(shared, slug, 1)
        assert answer.result(TIMEOUT_S).headers["x-cache"] == "hit"


def test_who_waits_still_has_to_sign_in_and_once_is_enough(
    shared: Front, serve: Serve, pool: ThreadPoolExecutor
) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        slug = host.removesuffix(".localhost")
        wanted = replace(app(slug, origin), gate=Gate(logins=(Login("ada", "YWRhOmE="),)))
        switch(shared, wanted)
        with paused(shared, wanted):
            signed_in = pool.submit(ask, shared.address, host, headers={"Authorization": "Basic YWRhOmE="})
            stranger = pool.submit(ask, shared.address, host)
            wait_until_busy(shared, slug, 2)
        assert (signed_in.result(TIMEOUT_S).status, stranger.result(TIMEOUT_S).status) == (200, 401)


@pytest.mark.parametrize("header", ["X-Gitship-Waits: gitship", "X-Gitship-Hold: 0", "X-Gitship-Verify: 0"])
def test_no_visitor_can_pass_or_end_a_pause(shared: Front, serve: Serve, pool: ThreadPoolExecutor, header: str) -> None:
    def visit(host: str) -> bytes:
        with raw(shared.address, f"GET / HTTP/1.1\nHost: {host}\n{header}\nConnection: close\n\n") as connection:
            return until_closed(connection)

    with Origin("v1") as origin:
        host = serve(origin)
        slug = host.removesuffix(".localhost")
        with paused(shared, app(slug, origin)):
            waiting = pool.submit(visit, host)
            wait_until_busy(shared, slug, 1)
            assert not waiting.done()
        assert waiting.result(TIMEOUT_S).startswith(b"HTTP/1.1 200")
        assert not [name for s in origin.seen for name in s.headers if "gitship" in name]


def test_without_a_pause_the_headers_of_one_do_nothing(shared: Front, serve: Serve) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        answer = ask(shared.address, host, headers={"X-Gitship-Waits": "gitship", "X-Gitship-Hold": "x"})
        assert answer.text == "v1 0"


def test_nothing_is_left_of_a_pause(shared: Front, serve: Serve, module_base: Path) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        slug = host.removesuffix(".localhost")
        with paused(shared, app(slug, origin)):
            assert list((module_base / "varnish").glob("pause-*.sock"))
        assert not list((module_base / "varnish").glob("pause-*.sock"))
        assert "gatehouse" not in shared._control.text(shared.labelled(slug) or "")


def test_what_tells_a_request_that_has_waited_is_not_taken_from_a_visitor(shared: Front, serve: Serve) -> None:
    notes = {f"X-Gitship-{name}": "yes" for name in ("Waited", "Waits", "First", "Hold", "Aside", "Before", "Stale")}
    with Origin("v1") as origin:
        host = serve(origin)
        sent = {**notes, "X-Forwarded-For": "192.0.2.1", "Cookie": "a=b"}
        assert ask(shared.address, host, headers=sent).status == 200
        [seen] = origin.seen
        assert seen.headers["x-forwarded-for"] == "127.0.0.1"
        assert seen.headers["cookie"] == "a=b"
        assert not [name for name in seen.headers if "gitship" in name]
