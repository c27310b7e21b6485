"""Open websockets and a deploy: they talk on until their own limit, then the app closes them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gitship.config_values import Address
from tests.e2e import apps
from tests.e2e.front.socketing import GOING_AWAY, closed, said, websocket
from tests.e2e.harness import Server
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


def settings(requests_s: float, sockets_s: float) -> str:
    return f"[deploy]\ndrain_timeout = {requests_s}\nsocket_drain_timeout = {sockets_s}\n"


def deployed(server: Server, repository: Path, app: str, version: str, limits: str) -> None:
    apps.commit(repository, version, {"Dockerfile": apps.tiny_dockerfile(version), "gitship.toml": limits})
    server.push_ok(repository, app)
    assert server.get(app).body == f"{version}\n"


def test_sockets_talk_on_beyond_the_limit_of_requests_and_are_closed_by_the_app(
    server: Server, tiny_app: Callable[..., Path]
) -> None:
    repository = tiny_app("chat")
    server.push_ok(repository, "chat")
    address = Address("127.0.0.1", server.http_port)
    with websocket(address, "chat.localhost") as one, websocket(address, "chat.localhost") as other:
        assert said(one, b"before") == b"v1: before"
        deployed(server, repository, "chat", "v2", settings(1, 5))
        time.sleep(2.5)
        assert said(one, b"after") == b"v1: after"
        assert len(server.containers("gitship.app=chat")) == 2
        assert closed(one) == closed(other) == GOING_AWAY
    wait_until(lambda: server.containers("gitship.app=chat") == ["chat.web.1.v2"], 20, "the old container goes")
    wait_until(lambda: server.deploys("chat")[-1][0] == "live", 10, "the deploy has ended")
    assert "2 websockets were still open" in server.ssh("logs:deploy", "chat").stdout


def test_sockets_alone_do_not_use_the_longer_limit_of_requests(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("short")
    server.push_ok(repository, "short")
    with websocket(Address("127.0.0.1", server.http_port), "short.localhost") as connection:
        deployed(server, repository, "short", "v2", settings(600, 1))
        assert closed(connection) == GOING_AWAY


def test_a_killed_proxy_of_websockets_is_back_and_pages_are_served_meanwhile(
    server: Server, tiny_app: Callable[..., Path]
) -> None:
    server.push_ok(tiny_app("again"), "again")
    address = Address("127.0.0.1", server.http_port)
    pid_file = server.data_dir / "varnish/websockets/haproxy.pid"
    before = pid_file.read_text()
    with websocket(address, "again.localhost") as connection:
        assert said(connection, b"one") == b"v1: one"
        os.kill(int(before), signal.SIGKILL)
        assert server.get("again").body == "v1\n"
    wait_until(lambda: pid_file.exists() and pid_file.read_text() not in ("", before), 20, "gitship restarts it")
    wait_until(lambda: "haproxy for websockets" in server.logs, 20, "the log tells of it")
    with websocket(address, "again.localhost") as connection:
        assert said(connection, b"two") == b"v1: two"
