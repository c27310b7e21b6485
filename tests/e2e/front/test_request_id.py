"""The id of a visitor's request: the same for the app, the visitor, the error page and varnishlog."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace

import pytest

from gitship.front.front import Front
from gitship.front.gate import Gate, Login, Maintenance, Redirect
from gitship.front.visitor_limits import VisitorLimits
from tests.e2e.front.asking import Answer, app, ask, raw
from tests.e2e.front.conftest import Serve, switch
from tests.e2e.front.origin import Origin

pytestmark = pytest.mark.e2e

ID = re.compile(r"[0-9]{10}-[0-9]+")
CACHEABLE = "?cache-control=max-age%3D100"


def id_of(answer: Answer) -> str:
    found = answer.headers["x-request-id"]
    assert ID.fullmatch(found), found
    return found


def test_the_app_and_the_visitor_know_a_request_by_the_same_id_and_the_next_by_another(
    shared: Front, serve: Serve
) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        for method in ("GET", "POST", "PROPFIND"):
            ids = [id_of(ask(shared.address, host, "/", method, body=b"")) for _ in range(2)]
            assert ids == [seen.headers["x-request-id"] for seen in origin.seen[-2:]]
            assert ids[0] != ids[1]


@pytest.mark.parametrize("said", ["spoofed", "1764000000-1", "", "a" * 5000])
def test_what_a_visitor_says_is_thrown_away(shared: Front, serve: Serve, said: str) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        answer = ask(shared.address, host, headers={"X-Request-Id": said})
        assert id_of(answer) != said
        assert origin.seen[-1].headers["x-request-id"] == id_of(answer)


def test_what_the_app_says_is_not_heeded_either_and_what_is_cached_has_the_id_of_who_asks(
    shared: Front, serve: Serve
) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        path = f"/page{CACHEABLE}&x-request-id=by-the-app"
        answers = [ask(shared.address, host, path) for _ in range(3)]
        assert [answer.headers["x-cache"] for answer in answers] == ["miss", "hit", "hit"]
        assert len({id_of(answer) for answer in answers}) == 3
        assert origin.seen[-1].headers["x-request-id"] == id_of(answers[0])


def test_a_request_that_begins_anew_keeps_its_id(shared: Front, serve: Serve) -> None:
    """A file with cookies that turns out not to be for everybody is asked for again."""
    with Origin("v1") as origin:
        host = serve(origin)
        answer = ask(shared.address, host, "/logo.png", headers={"Cookie": "a=1"})
        assert len(origin.seen) == 2, "asked without the cookie and again with it"
        assert {seen.headers["x-request-id"] for seen in origin.seen} == {id_of(answer)}


def test_a_websocket_has_one_too(shared: Front, serve: Serve) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        text = (
            f"GET /ws HTTP/1.1\nHost: {host}\nUpgrade: websocket\nConnection: Upgrade\nX-Request-Id: spoofed\n"
            "Sec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n\n"
        )
        with raw(shared.address, text) as connection:
            assert b"101" in connection.recv(4096)
        assert ID.fullmatch(origin.seen[-1].headers["x-request-id"])


def test_the_page_of_an_app_that_is_down_names_it(shared: Front, serve: Serve) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
    _on_page(ask(shared.address, host, headers={"X-Request-Id": "<script>"}), 503)


def test_the_page_of_an_unknown_host_names_it(shared: Front) -> None:
    _on_page(ask(shared.address, "nobody.localhost", headers={"X-Request-Id": "<script>"}), 404)


def test_the_page_of_an_app_that_was_never_deployed_names_it(shared: Front, serve: Serve) -> None:
    _on_page(ask(shared.address, serve(), headers={"X-Request-Id": "<script>"}), 503)


@pytest.mark.parametrize(
    ("gate", "status"),
    [
        (Gate(allow=("203.0.113.0/24",)), 403),
        (Gate(maintenance=Maintenance()), 503),
        (Gate(logins=(Login("ada", "YWRhOnNlY3JldA=="),)), 401),
        (Gate(limits=VisitorLimits(body_bytes=1)), 413),
    ],
)
@pytest.mark.parametrize("running", [True, False])
def test_the_pages_of_the_gate_name_it(shared: Front, serve: Serve, gate: Gate, status: int, running: bool) -> None:
    if status == 413 and not running:
        pytest.skip("there is nothing to send to")
    with Origin("v1") as origin:
        host = serve(origin)
        backends = (origin,) if running else ()
        switch(shared, replace(app(host.removesuffix(".localhost"), *backends), gate=gate))
        _on_page(ask(shared.address, host, "/", "POST", headers={"X-Request-Id": "<script>"}, body=b"large"), status)


def test_a_redirect_has_it(shared: Front, serve: Serve) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        gate = Gate(redirects=(Redirect("/old", "/new", 301),))
        switch(shared, replace(app(host.removesuffix(".localhost"), origin), gate=gate))
        answer = ask(shared.address, host, "/old", headers={"X-Request-Id": "spoofed"})
        assert answer.status == 301
        assert id_of(answer) != "spoofed"


def test_varnishlog_finds_a_request_by_it(shared: Front, serve: Serve) -> None:
    """As the manual says."""
    with Origin("v1") as origin:
        host = serve(origin)
        ask(shared.address, host, "/another")
        wanted = id_of(ask(shared.address, host, "/this-one"))
        command = ["varnishlog", "-n", str(shared.workdir), "-d", "-g", "request", "-q"]
        found = subprocess.run(
            [*command, f'ReqHeader ~ "{wanted}"'], capture_output=True, text=True, timeout=30, check=True
        ).stdout
        assert re.findall(r"-   ReqURL +(\S+)", found) == ["/this-one"]
        assert "BereqURL       /this-one" in found, "what the app was asked for it"


def _on_page(answer: Answer, status: int) -> None:
    assert answer.status == status
    assert f"Request {id_of(answer)}</p>" in answer.text
    assert "<script>" not in answer.text
