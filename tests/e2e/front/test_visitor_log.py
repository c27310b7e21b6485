"""What varnishncsa tells of visitors, by a real one: who is counted, how, and that it always comes back."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from gitship.front.front import Front
from gitship.front.gate import Gate, Redirect
from gitship.front.traffic_counters import TrafficCounters
from gitship.front.visitor_log import VisitorLog
from gitship.model.traffic import Traffic
from tests.e2e.front.asking import TOKEN, app, ask, raw
from tests.e2e.front.conftest import switch
from tests.e2e.front.origin import Origin
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e

ID = 7
HOST = "shop.localhost"
CACHEABLE = "?cache-control=max-age%3D1"


class Counting:
    """A shop behind Varnish, with a visitor log that counts."""

    def __init__(self, front: Front, origin: Origin) -> None:
        self.front = front
        self.origin = origin
        self.tally = TrafficCounters()
        self.log = VisitorLog(front.workdir, self.tally.take)
        front.set_hosts({HOST: "shop"})
        self.shop = replace(app("shop", origin), id=ID)
        switch(front, self.shop)
        self.log.start()
        self.ready()

    def ask(self, path: str = "/", **more: str) -> int:
        return ask(self.front.address, HOST, path, headers=more).status

    @property
    def traffic(self) -> Traffic:
        return self.tally.totals().get(ID, Traffic())

    def ready(self) -> None:
        """Waits until requests are counted; how many there were is unknown then."""

        def counted() -> bool:
            before = self.traffic.requests
            self.ask("/ready", **{"x-ready": "yes"})
            time.sleep(0.3)
            return self.traffic.requests > before

        wait_until(counted, 30, "requests are counted")

    def becomes(self, condition: Callable[[Traffic], bool], what: str) -> None:
        wait_until(lambda: condition(self.traffic), 10, f"{what}; it is {self.traffic}")


@pytest.fixture
def shop(front: Front) -> Iterator[Counting]:
    with Origin("v1") as origin:
        counting = Counting(front, origin)
        yield counting
        counting.log.stop()


def test_each_request_is_counted_once_and_as_what_it_was(shop: Counting) -> None:
    before = shop.traffic.requests
    shop.ask(f"/page{CACHEABLE}")
    shop.ask(f"/page{CACHEABLE}")
    time.sleep(1.2)
    shop.ask(f"/page{CACHEABLE}")  # too old, and served while it is asked for
    shop.ask("/", cookie="a=1")
    shop.ask("/", authorization="x")
    shop.origin.status = 500
    shop.ask("/")
    shop.origin.stop()
    assert shop.ask("/") == 503
    switch(shop.front, replace(shop.shop, release="v2", gate=Gate(redirects=(Redirect("/old", "/new", 301),))))
    assert shop.ask("/old") == 301
    shop.becomes(lambda t: t.requests == before + 8, "8 more requests")
    traffic = shop.traffic
    assert (traffic.hits, traffic.stale, traffic.misses, traffic.failed, traffic.own) == (1, 1, 1, 1, 1)
    assert (traffic.app_errors, traffic.front_errors) == (1, 1)
    assert sum(traffic.latency) == traffic.requests


def test_a_websocket_is_counted_when_it_ends(shop: Counting) -> None:
    request = (
        f"GET /ws HTTP/1.1\nHost: {HOST}\nUpgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Version: 13\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n\n"
    )
    with raw(shop.front.address, request) as connection:
        assert b"101" in connection.recv(4096)
        time.sleep(0.3)
        assert shop.traffic.pipes == 0
    shop.becomes(lambda t: t.pipes == 1, "one websocket")


def test_gitships_own_requests_and_other_hosts_are_not_counted(shop: Counting) -> None:
    before = shop.traffic.requests
    for _ in range(5):
        assert shop.ask("/", **{"x-gitship-verify": TOKEN}) == 200
        ask(shop.front.address, "nobody.localhost")
    shop.ask("/", **{"x-gitship-verify": "no token at all but long enough"})
    shop.becomes(lambda t: t.requests > before, "the last one is counted")
    time.sleep(0.3)
    assert shop.traffic.requests == before + 1, "only the one with a wrong token"
    assert shop.tally.totals().keys() == {ID}


def test_no_line_is_lost_under_load(shop: Counting) -> None:
    before = shop.traffic.requests
    each, workers = 500, 8
    text = f"GET /page{CACHEABLE}00 HTTP/1.1\nHost: {HOST}\n\n" * (each - 1)
    text += f"GET / HTTP/1.1\nHost: {HOST}\nConnection: close\n\n"

    def visit(_: int) -> int:
        with raw(shop.front.address, "") as connection:  # the answers are read beside the sending: both block
            sender = threading.Thread(target=connection.sendall, args=(text.replace("\n", "\r\n").encode(),))
            sender.start()
            count, rest = 0, b""
            while piece := connection.recv(1 << 16):
                rest += piece
                count += rest.count(b"HTTP/1.1 200")
                rest = rest[-11:] if b"HTTP/1.1 200" not in rest[-11:] else b""
            sender.join()
            return count

    with ThreadPoolExecutor(workers) as pool:
        answered = sum(pool.map(visit, range(workers)))
    assert answered == each * workers
    shop.becomes(lambda t: t.requests == before + answered, f"{answered} more")


def test_it_comes_back_after_a_kill_of_itself_and_of_varnish(shop: Counting) -> None:
    first = shop.log.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: shop.log.pid not in (None, first), 10, "another varnishncsa")
    shop.ready()
    shop.front.stop()
    shop.front.ensure_running()
    shop.ready()


def test_it_ends_when_told_to_and_has_counted_all_before(shop: Counting) -> None:
    before, pid = shop.traffic.requests, shop.log.pid
    for _ in range(20):
        shop.ask()
    shop.log.stop()
    assert shop.traffic.requests == before + 20
    assert shop.log.pid is None
    with pytest.raises(ProcessLookupError):
        os.kill(pid or 0, 0)
