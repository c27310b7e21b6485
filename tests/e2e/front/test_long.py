"""What lasts long or is large: uploads, streams, sockets and headers, also while the release changes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress

import pytest

from gitship.front.front import Front
from gitship.front.websocket_count import BUSY_PER_SOCKET
from tests.e2e.front.asking import TIMEOUT_S, app, ask, raw, until_closed
from tests.e2e.front.conftest import Serve, switch
from tests.e2e.front.http2 import Visitor
from tests.e2e.front.origin import Origin
from tests.e2e.front.socketing import said, websocket
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e

PIECE = bytes(range(256)) * 4096  # 1 MiB
UPLOAD_PIECES = 1024


def replaced(front: Front, host: str, new: Origin) -> None:
    """The app at ``host`` is switched to ``new``, and the old VCL discarded as a deploy does when its limit is over."""
    slug = host.removesuffix(".localhost")
    old = front.labelled(slug)
    switch(front, app(slug, new, release="v2"))
    assert old is not None
    front.discard(old)
    assert ask(front.address, host).text == "v2 0"


@pytest.mark.parametrize("chunked", [False, True])
def test_an_upload_of_a_gigabyte_goes_on_while_the_release_changes(shared: Front, serve: Serve, chunked: bool) -> None:
    size = UPLOAD_PIECES * len(PIECE)
    with Origin("v1") as one, Origin("v2") as two:
        host = serve(one)

        def body() -> Iterator[bytes]:
            for number in range(UPLOAD_PIECES):
                if number == UPLOAD_PIECES // 2:
                    replaced(shared, host, two)
                yield PIECE

        if chunked:
            assert ask(shared.address, host, "/upload", "POST", body=body()).text == f"v1 {size}"
            return
        head = f"POST /upload HTTP/1.1\nHost: {host}\nContent-Length: {size}\nConnection: close\n\n"
        with raw(shared.address, head) as connection:
            for piece in body():
                connection.sendall(piece)
            assert until_closed(connection).endswith(f"v1 {size}".encode())


def test_a_stream_goes_on_while_the_release_changes(shared: Front, serve: Serve) -> None:
    with Origin("v1") as one, Origin("v2") as two:
        host = serve(one)
        with raw(shared.address, f"GET /stream HTTP/1.1\nHost: {host}\nConnection: close\n\n") as connection:
            first = b""
            while b"first" not in first:
                first += connection.recv(4096)
            replaced(shared, host, two)
            one.go_on.set()
            assert b"data: second" in until_closed(connection)


def test_a_visitor_who_waits_to_be_told_to_send_is_told(shared: Front, serve: Serve) -> None:
    with Origin("v1") as one:
        head = f"POST /x HTTP/1.1\nHost: {serve(one)}\nContent-Length: 5\nExpect: 100-continue\nConnection: close\n\n"
        with raw(shared.address, head) as connection:
            assert connection.recv(4096).startswith(b"HTTP/1.1 100")
            connection.sendall(b"12345")
            assert until_closed(connection).endswith(b"v1 5")


def test_who_was_told_to_send_sends_to_the_release_that_said_so(shared: Front, serve: Serve) -> None:
    with Origin("v1") as one, Origin("v2") as two:
        host = serve(one)
        head = f"POST /x HTTP/1.1\nHost: {host}\nContent-Length: 5\nExpect: 100-continue\nConnection: close\n\n"
        with raw(shared.address, head) as connection:
            assert connection.recv(4096).startswith(b"HTTP/1.1 100")
            replaced(shared, host, two)
            connection.sendall(b"12345")
            assert until_closed(connection).endswith(b"v1 5")
        assert (one.count("/x"), two.count("/x")) == (1, 0)


def test_large_headers_pass_while_the_release_changes(shared: Front, serve: Serve) -> None:
    large = {"Cookie": "c" * 30_000}
    with Origin("v1") as one, Origin("v2") as two, ThreadPoolExecutor(1) as pool:
        host = serve(one)
        under_way = pool.submit(ask, shared.address, host, "/wait", "GET", large)
        assert one.arrived.wait(TIMEOUT_S)
        replaced(shared, host, two)
        one.go_on.set()
        assert under_way.result(TIMEOUT_S).text == "v1"
        assert one.seen[-1].headers["cookie"] == large["Cookie"]
        assert ask(shared.address, host, "/headers?n=30000", headers=large).headers["x-large"] == "c" * 30_000
        assert two.seen[-1].headers["cookie"] == large["Cookie"]


@pytest.mark.parametrize("size", [9_000, 30_000])
def test_large_headers_pass_in_both_directions(shared: Front, serve: Serve, size: int) -> None:
    with Origin("v1") as one:
        host, value = serve(one), "c" * size
        answer = ask(shared.address, host, headers={"Cookie": value, "X-Echo": "x-large"})
        assert answer.status == 200
        assert one.seen[-1].headers["cookie"] == value
        assert ask(shared.address, host, f"/headers?n={size}").headers["x-large"] == value


def test_many_headers_pass_in_both_directions(shared: Front, serve: Serve) -> None:
    with Origin("v1") as one:
        host = serve(one)
        answer = ask(shared.address, host, "/headers?count=90", headers={f"x-many-{n}": "x" for n in range(90)})
        assert answer.status == 200
        assert len([name for name in one.seen[-1].headers if name.startswith("x-many-")]) == 90
        assert len([name for name in answer.headers if name.startswith("x-many-")]) == 90


def test_headers_of_60_kb_in_all_pass_in_both_directions(shared: Front, serve: Serve) -> None:
    with Origin("v1") as one:
        host = serve(one)
        two = {"Cookie": "c" * 30_000, "Authorization": "a" * 30_000}
        for _ in range(3):
            assert ask(shared.address, host, headers=two).status == 200
            assert ask(shared.address, host, "/headers?n=30000&twice=1").status == 200


def test_headers_beyond_all_measure_are_refused_and_the_next_visitor_is_served(shared: Front, serve: Serve) -> None:
    with Origin("v1") as one:
        host = serve(one)
        request = f"GET / HTTP/1.1\nHost: {host}\nCookie: {'c' * 200_000}\n\n"
        with suppress(ConnectionError), raw(shared.address, request) as connection:
            assert until_closed(connection)[:12] in (b"HTTP/1.1 400", b"")
        assert ask(shared.address, host).status == 200
        assert one.count("/") == 1


@pytest.fixture
def http2(shared: Front, serve: Serve) -> Iterator[tuple[Visitor, Origin, str]]:
    """A visitor who speaks HTTP/2, the app, and its host."""
    with Origin("v1") as one:
        host = serve(one)
        with closing(Visitor(shared.address, host)) as visitor:
            yield visitor, one, host


def test_http2_carries_requests_and_bodies(http2: tuple[Visitor, Origin, str]) -> None:
    visitor, one, _ = http2
    assert [visitor.ask(path).body for path in ("/a", "/b")] == [b"v1 0"] * 2
    assert visitor.ask("/c", PIECE * 8).body == f"v1 {8 * len(PIECE)}".encode()
    assert [s.path for s in one.seen] == ["/a", "/b", "/c"]
    assert one.seen[0].headers["x-forwarded-for"] == "127.0.0.1"
    assert "scheme" not in one.seen[0].headers  # Varnish makes a header of HTTP/2's :scheme


def test_http2_goes_on_while_the_release_changes(shared: Front, http2: tuple[Visitor, Origin, str]) -> None:
    visitor, one, host = http2
    with Origin("v2") as two:
        stream = visitor.begin("/wait")
        assert one.arrived.wait(TIMEOUT_S)
        replaced(shared, host, two)
        assert visitor.ask("/after").body == b"v2 0"  # on the same connection
        one.go_on.set()
        assert visitor.reply(stream).body == b"v1"


def test_an_idle_socket_is_not_cut_within_a_minute_and_is_not_kept_for_ever(shared: Front) -> None:
    """What is set, not waited for: a socket without a word for an hour goes."""
    assert "3600" in shared._control.command("param.show", "pipe_timeout")


def test_a_socket_talks_on_after_its_release_has_gone(shared: Front, serve: Serve) -> None:
    with Origin("v1") as one, Origin("v2") as two:
        host = serve(one)
        with websocket(shared.address, host) as connection:
            replaced(shared, host, two)
            assert said(connection, b"hello") == b"v1: hello"


def test_open_sockets_are_told_from_requests(shared: Front, serve: Serve) -> None:
    with Origin("v1") as one, Origin("v2") as two, ThreadPoolExecutor(1) as pool:
        host = serve(one)
        old = shared.labelled(host.removesuffix(".localhost"))
        assert old is not None
        slow = pool.submit(ask, shared.address, host, "/wait")
        assert one.arrived.wait(TIMEOUT_S)
        assert shared.sockets([old]) == 0
        with websocket(shared.address, host), websocket(shared.address, host) as second:
            replaced(shared, host, two)
            assert said(second, b"hello") == b"v1: hello"
            one.go_on.set()
            assert slow.result(TIMEOUT_S).status == 200
            wait_until(lambda: shared.busy(old) == 2 * BUSY_PER_SOCKET, TIMEOUT_S, "only the sockets are busy")
            assert shared.sockets([old]) == 2  # also of a VCL that is discarded
        wait_until(lambda: shared.sockets([old]) == 0, TIMEOUT_S, "the sockets are closed")
