"""How many requests, and how large ones, get through to an app."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import pytest

from gitship.front.front import Front
from gitship.front.gate import Gate
from gitship.front.visitor_limits import Rate, VisitorLimits
from tests.e2e.front.asking import TIMEOUT_S, TOKEN, app, ask, raw, until_closed
from tests.e2e.front.conftest import Serve, switch
from tests.e2e.front.http2 import Visitor
from tests.e2e.front.origin import Origin

pytestmark = pytest.mark.e2e

CACHED = "/page?cache-control=public,max-age=60"
SEVEN = VisitorLimits(Rate(7, 600))
KB = 1 << 10


@pytest.fixture(scope="module")
def rates(shared: Front) -> None:
    if not shared.limits_rates():
        pytest.skip("no varnish-modules")


def put(front: Front, host: str, origin: Origin, limits: VisitorLimits, release: str = "v1") -> None:
    switch(front, replace(app(host.partition(".")[0], origin, release=release), gate=Gate(limits=limits)))


def statuses(front: Front, host: str, count: int, path: str = "/") -> Counter[int]:
    return Counter(ask(front.address, host, path).status for _ in range(count))


@pytest.mark.usefixtures("rates")
def test_so_many_requests_and_no_more_until_the_time_has_passed(shared: Front, serve: Serve) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        put(shared, host, origin, VisitorLimits(Rate(7, 2)))
        assert statuses(shared, host, 7) == {200: 7}
        refused = ask(shared.address, host)
        assert (refused.status, refused.headers["retry-after"]) == (429, "2")
        assert refused.headers["cache-control"] == "no-store"
        assert "Too many requests" in refused.text
        assert len(origin.seen) == 7
        time.sleep(2.1)
        assert ask(shared.address, host).status == 200


@pytest.mark.usefixtures("rates")
def test_cached_pages_count_and_a_deploy_does_not_begin_anew(shared: Front, serve: Serve) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        put(shared, host, origin, SEVEN)
        assert statuses(shared, host, 5, CACHED) == {200: 5}
        put(shared, host, origin, SEVEN, release="v2")
        assert statuses(shared, host, 5, CACHED) == {200: 2, 429: 3}
        put(shared, host, origin, VisitorLimits())
        assert statuses(shared, host, 5, CACHED) == {200: 5}


@pytest.mark.usefixtures("rates")
def test_gitships_own_request_is_not_counted_and_a_wrong_token_is(shared: Front, serve: Serve) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        put(shared, host, origin, VisitorLimits(Rate(2, 600, "all")))
        for token, expected in ((TOKEN, {200: 5}), ("wrong", {200: 2, 429: 3})):
            told = [ask(shared.address, host, headers={"X-Gitship-Verify": token}).status for _ in range(5)]
            assert Counter(told) == expected
        slug = host.removesuffix(".localhost")
        shared.pauses.begin(slug, 7, time.time() + 5)
        put(shared, host, origin, VisitorLimits(Rate(2, 600, "all")))
        shared.pauses.hold(slug, host)  # a request of gitship's as well
        shared.pauses.end(slug)


@pytest.mark.usefixtures("rates")
def test_who_waits_in_a_pause_was_counted_when_they_came(shared: Front, serve: Serve) -> None:
    with Origin("v1") as origin, ThreadPoolExecutor(10) as pool:
        host = serve(origin)
        slug = host.removesuffix(".localhost")
        shared.pauses.begin(slug, 8, time.time() + 10)
        put(shared, host, origin, SEVEN)
        shared.pauses.hold(slug, host)
        waiting = [pool.submit(ask, shared.address, host) for _ in range(10)]
        while sum(answer.done() for answer in waiting) < 3:  # refused at once
            time.sleep(0.05)
        shared.pauses.end(slug)
        assert Counter(answer.result(TIMEOUT_S).status for answer in waiting) == {200: 7, 429: 3}


def test_without_the_module_an_app_is_served_without_its_limit(
    shared: Front, serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("gitship.front.loaded_vcls.MODULE_CHECK", "vcl 4.1;\nimport nosuch;\nbackend default none;\n")
    monkeypatch.setattr(shared._programs, "_rates", False)
    assert not shared.limits_rates()
    with Origin("v1") as origin:
        host = serve(origin)
        put(shared, host, origin, replace(SEVEN, body_bytes=10))
        assert statuses(shared, host, 9) == {200: 9}
        assert ask(shared.address, host, method="POST", body=bytes(11)).status == 413
    assert "varnish-modules" in caplog.text


# -- bodies


def test_a_body_is_measured_by_its_length_before_the_app_sees_it(shared: Front, serve: Serve) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        put(shared, host, origin, VisitorLimits(body_bytes=100 * KB))
        assert ask(shared.address, host, "/a", "POST", body=bytes(100 * KB)).text == f"v1 {100 * KB}"
        refused = ask(shared.address, host, "/b", "POST", body=bytes(100 * KB + 1))
        assert (refused.status, refused.headers["cache-control"]) == (413, "no-store")
        assert "Too much for" in refused.text
        assert [s.path for s in origin.seen] == ["/a"]


@pytest.mark.parametrize("length", ["1000000000", "9" * 18, "9" * 30])
def test_a_visitor_with_too_much_is_told_without_having_sent_it(shared: Front, serve: Serve, length: str) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        put(shared, host, origin, VisitorLimits(body_bytes=KB))
        with raw(shared.address, f"POST / HTTP/1.1\nHost: {host}\nContent-Length: {length}\n\nbegin") as connection:
            assert until_closed(connection)[:12] in (b"HTTP/1.1 413", b"HTTP/1.1 400")
        assert origin.seen == []


@pytest.mark.parametrize(
    ("limit_kb", "sent_kb", "taken"), [(100, 100, True), (100, 400, False), (9000, 1000, True), (9000, 1400, False)]
)
@pytest.mark.parametrize("version", [1, 2])
def test_a_body_without_its_length_is_counted_as_far_as_that_goes(
    shared: Front, serve: Serve, limit_kb: int, sent_kb: int, taken: bool, version: int
) -> None:
    body = bytes(sent_kb * KB)

    def send(host: str) -> None:
        if version == 1:
            assert ask(shared.address, host, "/", "POST", body=iter([body])).status == 200
            return
        with closing(Visitor(shared.address, host)) as visitor:
            assert visitor.ask("/", body).status == 200

    with Origin("v1") as origin:
        host = serve(origin)
        put(shared, host, origin, VisitorLimits(body_bytes=limit_kb * KB))
        if taken:
            send(host)
        else:
            with pytest.raises((ConnectionError, EOFError)):  # all that Varnish can do
                send(host)
        assert [s.body_bytes for s in origin.seen] == ([len(body)] if taken else [])
        assert ask(shared.address, host).status == 200


def test_what_has_no_body_is_not_measured(shared: Front, serve: Serve) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        put(shared, host, origin, VisitorLimits(body_bytes=0))
        assert ask(shared.address, host).status == 200
        assert ask(shared.address, host, method="POST", body=b"").status == 200
        assert ask(shared.address, host, method="POST", body=b"x").status == 413
