"""Who asks for an upgrade gets a websocket or one answer, and never a second request past the checks."""

from __future__ import annotations

import os
import signal
import socket
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from gitship.front.front import Front
from gitship.front.gate import Gate, Login
from gitship.front.varnishd import reader_group
from gitship.front.visitor_limits import Rate, VisitorLimits
from tests.e2e.front.asking import app, ask, raw, until_closed
from tests.e2e.front.conftest import Serve, switch
from tests.e2e.front.declining import KINDS, Declining, declining
from tests.e2e.front.origin import Origin
from tests.e2e.front.socketing import UPGRADE, said, websocket
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e

FORGED = "X-Forwarded-For: 6.6.6.6\nX-Real-IP: 6.6.6.6\nX-Request-Id: forged\n"


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest, module_base: Path) -> Iterator[Declining]:
    with declining(request.param, module_base) as started:
        yield started


def paths_of(server: Declining, before: int) -> list[str]:
    return server.paths[before:]


def answers(connection: socket.socket, most: int) -> bytes:
    """So many answers whose body is "v1"; less when the other end closes before."""
    data = b""
    while data.count(b"\r\n\r\nv1") < most:
        try:
            piece = connection.recv(65536)
        except ConnectionError:
            break
        if not piece:
            break
        data += piece
    return data


def attack(shared: Front, host: str, opening: str, *, pipelined: bool) -> bytes:
    """Sends ``opening``, and a request to /second with forged headers on the same connection; what is answered."""
    second = f"GET /second HTTP/1.1\nHost: {host}\n{FORGED}Connection: close\n\n"
    with raw(shared.address, opening + second if pipelined else opening) as connection:
        if pipelined:
            return answers(connection, 1 << 30)
        data = answers(connection, opening.count("HTTP/1.1\n"))
        # Who keeps the connection gets another request; one that is closed takes none.
        with suppress(ConnectionError):
            connection.sendall(second.replace("\n", "\r\n").encode())
        return data + answers(connection, 1 << 30)


@pytest.mark.parametrize("pipelined", [True, False], ids=["pipelined", "one-by-one"])
@pytest.mark.parametrize("before", ["", "answered"], ids=["first", "after-a-200"])
def test_an_app_that_declines_a_websocket_gets_no_second_request(
    shared: Front, serve: Serve, server: Declining, *, pipelined: bool, before: str
) -> None:
    host, begin = serve(server), len(server.paths)
    opening = f"GET /first HTTP/1.1\nHost: {host}\n{UPGRADE}\n"
    if before:
        opening = f"GET /before HTTP/1.1\nHost: {host}\n\n" + opening
    attack(shared, host, opening, pipelined=pipelined)
    assert paths_of(server, begin) == (["/before"] if before else []) + ["/first"]
    first = server.seen[-1]
    assert (first["x-forwarded-for"], first["x-real-ip"], first["x-forwarded-host"]) == ("127.0.0.1", "127.0.0.1", host)
    assert first["x-request-id"]
    assert not [name for name in first if name.startswith("x-gitship")]


BODIES = {
    "length": "Content-Length: 4\n\nbody",
    "chunked": "Transfer-Encoding: chunked\n\n4\nbody\n0\n\n",
    "both": "Content-Length: 4\nTransfer-Encoding: chunked\n\n4\nbody\n0\n\n",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_body_hides_no_second_request(shared: Front, serve: Serve, server: Declining, method: str, body: str) -> None:
    """It is an ordinary request: what follows it has passed the checks."""
    host, begin = serve(server), len(server.paths)
    attack(shared, host, f"{method} /first HTTP/1.1\nHost: {host}\n{UPGRADE}{FORGED}{body}", pipelined=True)
    for seen in server.seen[begin:]:
        assert (seen["x-forwarded-for"], seen["x-real-ip"]) == ("127.0.0.1", "127.0.0.1"), seen
        assert "upgrade" not in seen


OTHERS = {
    "h2c": "GET / HTTP/1.1\nUpgrade: h2c\nConnection: Upgrade, HTTP2-Settings\nHTTP2-Settings: AAMAAABkAAQAoAAAAA\n",
    "anything": "GET / HTTP/1.1\nUpgrade: anything\nConnection: Upgrade\n",
    "several": f"GET / HTTP/1.1\n{UPGRADE}".replace("websocket", "h2c, websocket", 1),
    "no-upgrade": "GET / HTTP/1.1\nConnection: Upgrade\n",
    "no-connection": f"GET / HTTP/1.1\n{UPGRADE}".replace("Connection: Upgrade\n", ""),
    "no-key": "GET / HTTP/1.1\nUpgrade: websocket\nConnection: Upgrade\n",
    "http-1.0": f"GET / HTTP/1.0\n{UPGRADE}",
    "post": f"POST / HTTP/1.1\n{UPGRADE}Content-Length: 0\n",
    "connect": f"CONNECT / HTTP/1.1\n{UPGRADE}",
}


@pytest.mark.parametrize("opening", OTHERS.values(), ids=OTHERS)
def test_every_other_upgrade_is_an_ordinary_request(
    shared: Front, serve: Serve, server: Declining, opening: str
) -> None:
    host, begin = serve(server), len(server.paths)
    attack(shared, host, f"{opening}Host: {host}\n\n", pipelined=True)
    for seen in server.seen[begin:]:
        assert (seen["x-forwarded-for"], seen["x-real-ip"]) == ("127.0.0.1", "127.0.0.1"), seen
        assert not {"upgrade", "http2-settings"} & seen.keys(), seen
        assert "upgrade" not in seen.get("connection", "").lower()


def test_where_it_goes_is_not_the_visitors_to_say(
    shared: Front, serve: Serve, server: Declining, tmp_path: Path
) -> None:
    with declining("python", tmp_path, "v2") as other:
        host, begin = serve(server), len(server.paths)
        named = f"X-Gitship-Address: 127.0.0.1\nX-Gitship-Port: {other.port}\nX-Gitship-Socket: there\n"
        with raw(shared.address, f"GET /first HTTP/1.1\nHost: {host}\n{named}{UPGRADE}{named}\n") as connection:
            assert until_closed(connection).endswith(b"v1")
        assert (paths_of(server, begin), other.paths) == (["/first"], [])


def test_the_checks_are_asked_before_a_websocket(shared: Front, server: Declining, module_base: Path) -> None:
    gates = {
        429: Gate(limits=VisitorLimits(rate=Rate(1, 60))),
        401: Gate(logins=(Login("me", "bWU6c2VjcmV0"),)),
        403: Gate(allow=("192.0.2.0/24",)),
    }
    for status, gate in gates.items():
        name = f"checked-{status}"
        host = f"{name}.localhost"
        shared.set_hosts({host: name})
        switch(shared, replace(app(name, server), gate=gate))
        if status == 429:
            with websocket(shared.address, host) as connection:
                assert said(connection, b"one") == b"v1: one"
        begin = len(server.paths)
        opening = f"GET /ws HTTP/1.1\nHost: {host}\n{UPGRADE}\n"
        with raw(shared.address, opening) as connection:
            assert connection.recv(65536).startswith(f"HTTP/1.1 {status} ".encode())
        assert paths_of(server, begin) == []
        shared.remove(name)


def test_websockets_go_on_over_a_deploy(shared: Front, serve: Serve, server: Declining, tmp_path: Path) -> None:
    host = serve(server)
    slug = host.partition(".")[0]
    with declining(server.kind, tmp_path, "v2") as newer, websocket(shared.address, host) as one:
        assert said(one, b"before") == b"v1: before"
        old = shared.labelled(slug)
        assert old is not None
        switch(shared, app(slug, newer, release="v2"))
        with websocket(shared.address, host) as other:
            assert said(other, b"new") == b"v2: new"
            assert shared.sockets([old]) == 1
            shared.discard(old)
            assert said(one, b"after") == b"v1: after"
        assert ask(shared.address, host).text == "v2"


def test_a_pipe_of_the_apps_own_vcl_takes_no_second_request_either(shared: Front, server: Declining) -> None:
    own = 'sub app_recv { if (req.url ~ "^/first") { return (pipe); } }'
    shared.set_hosts({"own.localhost": "own"})
    switch(shared, replace(app("own", server), gate=Gate(vcl=own)))
    for opening in ("GET /first HTTP/1.1\n", "POST /first HTTP/1.1\nContent-Length: 4\n"):
        begin = len(server.paths)
        body = "body" if "POST" in opening else ""
        attack(shared, "own.localhost", f"{opening}Host: own.localhost\n\n{body}", pipelined=True)
        assert paths_of(server, begin) == ["/first"]
    shared.remove("own")


@pytest.mark.parametrize("probe", ["/probe", None])
def test_websockets_go_to_containers_that_are_well(shared: Front, serve: Serve, probe: str | None) -> None:
    """Each to any of them, with a probe to none that fails it, but to all when all fail it."""
    with Origin("a") as one, Origin("b") as two, Origin("c") as sick:
        sick.probe_status = 500
        more = {"probe": probe} if probe else {}
        host = serve(one, two, sick, **more)
        if probe:
            wait_until(lambda: shared._control.command("backend.list", "*.b2_*").count("sick") == 1, 20, "c is sick")
        said_by = set()
        for _ in range(40):
            with websocket(shared.address, host) as connection:
                said_by.add(said(connection, b"x").partition(b":")[0])
        assert said_by == ({b"a", b"b"} if probe else {b"a", b"b", b"c"})
        if probe:
            one.probe_status = two.probe_status = 500
            wait_until(lambda: shared._control.command("backend.list", "*.b?_*").count("sick") == 3, 20, "all are sick")
            with websocket(shared.address, host) as connection:
                assert said(connection, b"x")[:1] in b"abc"


def test_without_the_proxy_websockets_are_answered_503_and_the_rest_goes_on(front: Front) -> None:
    with Origin("v1") as origin:
        front.set_hosts({"shop.localhost": "shop"})
        switch(front, app("shop", origin))
        assert front.takes_websockets() and not front.bring_websockets()
        proxy = int((front.workdir.parent / "websockets/haproxy.pid").read_text())
        with websocket(front.address, "shop.localhost") as connection:
            assert said(connection, b"x") == b"v1: x"
            os.kill(proxy, signal.SIGKILL)
            assert until_closed(connection) == b""
        wait_until(lambda: not front.takes_websockets(), 10, "it is gone")
        asked = f"GET /ws HTTP/1.1\nHost: shop.localhost\n{UPGRADE}\n"
        with raw(front.address, asked) as connection:
            answer = connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 503 ") and b"retry-after: 5" in answer.lower()
            assert b"x-gitship" not in answer.lower()
        assert ask(front.address, "shop.localhost").text == "v1 0"
        assert front.bring_websockets()
        with websocket(front.address, "shop.localhost") as connection:
            assert said(connection, b"again") == b"v1: again"


def test_a_proxy_with_another_configuration_takes_over_and_cuts_no_websocket(front: Front) -> None:
    directory = front.workdir.parent / "websockets"
    with Origin("v1") as origin:
        front.set_hosts({"shop.localhost": "shop"})
        switch(front, app("shop", origin))
        with websocket(front.address, "shop.localhost") as one:
            assert said(one, b"before") == b"v1: before"
            before = (directory / "haproxy.pid").read_text()
            config = directory / "haproxy.cfg"
            config.write_text(config.read_text() + "# as an earlier gitship wrote it\n")
            assert not front.bring_websockets()  # it was there all the time
            now = (directory / "haproxy.pid").read_text()
            assert now != before and Path(f"/proc/{before.strip()}").exists()
            with websocket(front.address, "shop.localhost") as other:
                assert said(other, b"new") == b"v1: new"
                assert said(one, b"after") == b"v1: after"
        wait_until(lambda: not Path(f"/proc/{before.strip()}").exists(), 60, "the old one ends with its last websocket")


def test_nobody_but_varnish_gets_to_the_proxy(front: Front) -> None:
    found = (front.workdir.parent / "websockets/in.sock").stat()
    group = reader_group()
    assert stat.S_IMODE(found.st_mode) == (0o600 if group is None else 0o660)
    assert group is None or found.st_gid == group
