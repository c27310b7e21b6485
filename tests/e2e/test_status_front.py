"""The status page behind Varnish: whoever comes that way is a stranger, whatever they say of themselves."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.front.socketing import UPGRADE
from tests.e2e.harness import Server, running

pytestmark = pytest.mark.e2e

DOMAIN = "status.localhost"


@pytest.fixture(scope="module")
def server(module_base: Path, docker_host: str) -> Iterator[Server]:
    with running(module_base / "server", docker_host, lambda: False, web={"domain": DOMAIN}) as started:
        yield started


def said(server: Server, text: str) -> bytes:
    """All that comes back for ``text`` on one connection to Varnish."""
    data = b""
    with socket.create_connection(("127.0.0.1", server.http_port), 30) as connection:
        connection.sendall(text.replace("\n", "\r\n").encode())
        while piece := connection.recv(65536):
            data += piece
    return data


def on_the_server(server: Server, path: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", server.web_port, timeout=30)
    connection.request("GET", path, headers={"Host": "localhost"})
    return connection.getresponse()


@pytest.mark.parametrize("host", [DOMAIN, "localhost", "127.0.0.1"])
def test_a_second_request_behind_an_upgrade_reads_no_metrics(server: Server, host: str) -> None:
    second = f"GET /metrics HTTP/1.1\nHost: {host}\nConnection: close\n\n"
    assert b"gitship_" not in said(server, f"GET /healthz HTTP/1.1\nHost: {DOMAIN}\n{UPGRADE}\n{second}")
    assert b"gitship_" not in said(server, f"GET /metrics HTTP/1.1\nHost: {DOMAIN}\n{UPGRADE}Connection: close\n\n")


def test_a_forged_address_does_not_get_into_the_audit_log(server: Server) -> None:
    link = server.ssh("web").stdout.strip().partition("/sign-in/")[2]
    forged = "X-Forwarded-For: 6.6.6.6\nX-Real-IP: 6.6.6.6\n"
    second = f"POST /sign-in/{link} HTTP/1.1\nHost: {DOMAIN}\n{forged}Content-Length: 0\nConnection: close\n\n"
    said(server, f"GET /healthz HTTP/1.1\nHost: {DOMAIN}\n{UPGRADE}\n{second}")
    entries = json.loads(server.ssh("audit", "--format", "json").stdout)
    assert "6.6.6.6" not in json.dumps(entries)
    assert "signed in" in json.dumps(entries)  # it was a request like any other


def test_the_page_is_served_by_varnish_and_on_the_server_as_ever(server: Server) -> None:
    assert server.request(f"{DOMAIN}:{server.http_port}", "/healthz").status == 200
    assert server.request(f"{DOMAIN}:{server.http_port}", "/metrics").status == 401
    with closing(on_the_server(server, "/metrics")) as answer:
        assert (answer.status, b"gitship_" in answer.read()) == (200, True)
    server.restart()
    assert server.request(f"{DOMAIN}:{server.http_port}", "/healthz").status == 200
