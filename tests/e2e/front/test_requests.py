"""What an app gets to see of a request, and a visitor of an answer."""

from __future__ import annotations

import asyncio
import socket
import time

import aiohttp
import pytest

from gitship.front.front import Front
from tests.e2e.front.asking import TOKEN, ask, raw, until_closed
from tests.e2e.front.conftest import Serve
from tests.e2e.front.origin import Origin
from tests.e2e.front.socketing import UPGRADE

pytestmark = pytest.mark.e2e

SPOOFED = {
    "X-Forwarded-For": "6.6.6.6",
    "X-Real-IP": "6.6.6.6",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "443",
    "Forwarded": "for=6.6.6.6",
    "Proxy": "http://evil.example",
    "X-Request-Start": "t=1.000",
}


def _expect_true_headers(front: Front, host: str, headers: dict[str, str]) -> None:
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-real-ip"] == "127.0.0.1"
    assert headers["x-forwarded-proto"] == "http"
    assert headers["x-forwarded-host"] == host
    assert headers["x-forwarded-port"] == str(front.address.port)
    assert "forwarded" not in headers
    assert "proxy" not in headers
    assert 0 <= time.time() - float(headers["x-request-start"].removeprefix("t=")) < 30


@pytest.mark.parametrize("method", ["GET", "POST", "PROPFIND"])
def test_what_a_visitor_says_of_where_it_comes_from_is_overwritten(shared: Front, serve: Serve, method: str) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        assert ask(shared.address, host, method=method, headers=SPOOFED, body=b"").status == 200
        _expect_true_headers(shared, host, origin.seen[-1].headers)


def test_the_app_gets_the_host_with_its_port_so_that_its_own_links_are_right(shared: Front, serve: Serve) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        ask(shared.address, f"{host}:8080")
        assert origin.seen[-1].headers["host"] == f"{host}:8080"
        assert origin.seen[-1].headers["x-forwarded-host"] == f"{host}:8080"


@pytest.mark.parametrize("written", ["{}", "{}.", "{}:8080", "{}.:80"])
def test_a_host_is_found_however_it_is_written(shared: Front, serve: Serve, written: str) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        assert ask(shared.address, written.format(host)).status == 200
        assert ask(shared.address, written.format(host).upper()).status == 200


def test_after_an_unknown_method_the_connection_still_has_the_headers_checked(shared: Front, serve: Serve) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        second = f"GET /second HTTP/1.1\nHost: {host}\nX-Real-IP: 6.6.6.6\nConnection: close\n\n"
        with raw(
            shared.address, f"PROPFIND /first HTTP/1.1\nHost: {host}\nContent-Length: 0\n\n{second}"
        ) as connection:
            until_closed(connection)
        assert [s.path for s in origin.seen] == ["/first", "/second"]
        assert origin.seen[1].headers["x-real-ip"] == "127.0.0.1"


def test_an_app_that_declines_a_websocket_gets_no_further_request_past_the_checks(shared: Front, serve: Serve) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        first = f"GET /first HTTP/1.1\nHost: {host}\n{UPGRADE}\n"
        second = f"GET /second HTTP/1.1\nHost: {host}\nX-Real-IP: 6.6.6.6\nConnection: close\n\n"
        with raw(shared.address, first + second) as connection:
            assert until_closed(connection).startswith(b"HTTP/1.1 200")
        assert [s.path for s in origin.seen] == ["/first"]
        assert origin.seen[0].headers["x-real-ip"] == "127.0.0.1"


def test_a_websocket_goes_through(shared: Front, serve: Serve) -> None:
    async def talk(host: str) -> list[str]:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"http://{shared.address}/ws", headers={"Host": host}) as ws,
        ):
            said = []
            for text in ("one", "two"):
                await ws.send_str(text)
                said.append(await ws.receive_str(timeout=10))
            return said

    with Origin("v1") as origin:
        assert asyncio.run(talk(serve(origin))) == ["v1: one", "v1: two"]
        _expect_true_headers(shared, origin.seen[-1].headers["host"], origin.seen[-1].headers)


def test_a_stream_arrives_piece_by_piece(shared: Front, serve: Serve) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        with raw(shared.address, f"GET /stream HTTP/1.1\nHost: {host}\nConnection: close\n\n") as connection:
            first = b""
            while b"first" not in first:  # the app has not sent the second piece yet: it waits for the next line
                first += connection.recv(4096)
            assert b"second" not in first
            origin.go_on.set()
            assert b"data: second" in until_closed(connection)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_upload_arrives_whole(shared: Front, serve: Serve, chunked: bool) -> None:
    piece, pieces = bytes(range(256)) * 4096, 128  # 128 MiB, twice the cache
    with Origin("v1") as origin:
        host = serve(origin)
        body = (piece for _ in range(pieces)) if chunked else piece * pieces
        answer = ask(shared.address, host, "/upload", "POST", body=body)
        assert answer.text == f"v1 {len(piece) * pieces}"


def test_head_is_answered_without_a_body(shared: Front, serve: Serve) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        with raw(shared.address, f"HEAD / HTTP/1.1\nHost: {host}\nConnection: close\n\n") as connection:
            text = until_closed(connection).decode()
        assert text.startswith("HTTP/1.1 200")
        assert "content-length: 4" in text.lower()
        assert text.endswith("\r\n\r\n")


def test_a_range_of_what_is_not_cached_is_left_to_the_app(shared: Front, serve: Serve) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        ask(shared.address, host, "/video")
        ask(shared.address, host, "/video", headers={"Range": "bytes=1-2"})
        assert origin.seen[-1].headers["range"] == "bytes=1-2"


def test_connect_is_refused(shared: Front, serve: Serve) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        with raw(shared.address, f"CONNECT / HTTP/1.1\nHost: {host}\nConnection: close\n\n") as connection:
            assert until_closed(connection).startswith(b"HTTP/1.1 405")
        assert origin.seen == []


# -- the pipeline's question: which release answered?


def test_only_the_right_token_is_told_which_release_answered(shared: Front, serve: Serve) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        told = ask(shared.address, host, headers={"X-Gitship-Verify": TOKEN})
        assert told.headers["x-gitship-origin"] == "backend"
        assert told.headers["x-gitship-release"] == shared.labelled(host.removesuffix(".localhost"))
        for token in ("", "wrong", TOKEN + "x", TOKEN.upper()):
            answer = ask(shared.address, host, headers={"X-Gitship-Verify": token})
            assert not [h for h in answer.headers if h.startswith("x-gitship")]
        assert not [h for s in origin.seen for h in s.headers if h.startswith("x-gitship")]


def test_an_error_page_does_not_pass_for_the_release(shared: Front, serve: Serve) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
    answer = ask(shared.address, host, headers={"X-Gitship-Verify": TOKEN})
    assert (answer.status, answer.headers["x-gitship-origin"]) == (503, "error")
    assert "x-gitship-origin" not in ask(shared.address, host).headers


def test_an_app_cannot_answer_that_question_itself(shared: Front, serve: Serve) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        path = "/?x-gitship-origin=fake&x-gitship-release=fake"
        assert not [h for h in ask(shared.address, host, path).headers if h.startswith("x-gitship")]
        told = ask(shared.address, host, path, headers={"X-Gitship-Verify": TOKEN})
        assert "fake" not in (told.headers["x-gitship-origin"], told.headers["x-gitship-release"])


def test_the_question_is_never_answered_from_the_cache(shared: Front, serve: Serve) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        path = "/c?cache-control=public,max-age=60"
        for _ in range(2):
            assert ask(shared.address, host, path).status == 200
        assert origin.count("/c") == 1
        ask(shared.address, host, path, headers={"X-Gitship-Verify": TOKEN})
        assert origin.count("/c") == 2


# -- pages


def test_an_unknown_host_gets_a_page_that_names_it(shared: Front, serve: Serve) -> None:
    answer = ask(shared.address, "nobody.example.com")
    assert answer.status == 404
    assert "No app answers at nobody.example.com." in answer.text
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("host", ["<script>alert(1)</script>", 'a"b', "", "a" * 300])
def test_what_is_no_host_name_does_not_get_into_the_page(shared: Front, host: str) -> None:
    answer = ask(shared.address, host)
    assert answer.status == 404
    assert "No app answers at this address." in answer.text


def test_a_request_without_a_host_gets_the_page_too(shared: Front) -> None:
    with raw(shared.address, "GET / HTTP/1.0\n\n") as connection:
        assert until_closed(connection).startswith(b"HTTP/1.1 404")


def test_an_app_that_was_never_deployed_has_a_page_that_says_what_to_do(shared: Front) -> None:
    shared.set_hosts({"new.shop.localhost": "new_shop"})
    answer = ask(shared.address, "new.shop.localhost")
    assert answer.status == 503
    assert "new.shop is not running yet" in answer.text
    assert "git push deploy main" in answer.text
    shared.remove("new_shop")


def test_an_app_that_is_down_has_a_page_and_a_time_to_come_back(shared: Front, serve: Serve) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
    answer = ask(shared.address, host)
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert "is not answering" in answer.text
    assert answer.headers["cache-control"] == "no-store"
    with Origin("v1", port=origin.port):
        assert ask(shared.address, host).text == "v1 0"


def test_varnish_does_not_say_what_it_is(shared: Front, serve: Serve) -> None:
    with Origin("v1") as origin:
        host = serve(origin)
        for answer in (ask(shared.address, host), ask(shared.address, "nobody.localhost")):
            assert not {"via", "x-varnish"} & set(answer.headers)


# -- several containers


def test_what_can_be_repeated_is_answered_by_another_container_when_one_is_gone(shared: Front, serve: Serve) -> None:
    with Origin("gone") as gone, Origin("here") as here:
        host = serve(gone, here)
        gone.stop()
        assert {ask(shared.address, host, f"/{n}").text for n in range(6)} == {"here 0"}


def test_what_one_container_turns_away_is_given_to_another(shared: Front, serve: Serve) -> None:
    with Origin("full") as full, Origin("free") as free:
        full.status = 503
        host = serve(full, free)
        assert {ask(shared.address, host, f"/{n}").text for n in range(6)} == {"free 0"}


@pytest.mark.parametrize("body", [b"", b"1"])
def test_a_post_is_never_sent_twice(shared: Front, serve: Serve, body: bytes) -> None:
    with Origin("full") as full, Origin("full too") as other:
        full.status = other.status = 503
        host = serve(full, other)
        assert ask(shared.address, host, "/buy", "POST", body=body).status == 503
        assert full.count("/buy") + other.count("/buy") == 1


@pytest.mark.parametrize("body", ["", "x"])
def test_a_post_that_is_cut_off_is_never_sent_twice(shared: Front, serve: Serve, body: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        origin = Origin("cut", port=listener.getsockname()[1])
        host = serve(origin)
        with raw(shared.address, f"POST /buy HTTP/1.1\nHost: {host}\nContent-Length: {len(body)}\n\n{body}") as visitor:
            first, _ = listener.accept()
            assert first.recv(4096).startswith(b"POST /buy")
            first.close()
            assert visitor.recv(4096).startswith(b"HTTP/1.1 503")
        listener.settimeout(0.5)
        with pytest.raises(TimeoutError):
            listener.accept()
