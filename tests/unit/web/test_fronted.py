"""Who asks the status page: whoever comes by Varnish's socket is a stranger, whatever the request says."""

from __future__ import annotations

import socket
import stat
from collections.abc import Mapping

import pytest

from gitship.front.varnishd import reader_group
from gitship.model import Role
from tests.unit.web.conftest import TIMEOUT_S, Site

SAYINGS: dict[str, dict[str, str]] = {
    "nothing": {},
    "the-server-itself": {"Host": "localhost", "X-Real-IP": "127.0.0.1", "X-Forwarded-For": "127.0.0.1"},
    "nobody": {"X-Real-IP": "", "X-Forwarded-For": ""},
}


def by_the_front(site: Site, path: str, headers: Mapping[str, str], method: str = "GET") -> bytes:
    """The answer to a request as Varnish hands it on."""
    lines = [f"{name}: {value}\r\n" for name, value in {"Host": "status.example", **headers}.items()]
    request = f"{method} {path} HTTP/1.1\r\n{''.join(lines)}Content-Length: 0\r\nConnection: close\r\n\r\n"
    data = b""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(TIMEOUT_S)
        connection.connect(str(site.settings.status_socket))
        connection.sendall(request.encode())
        while piece := connection.recv(65536):
            data += piece
    return data


@pytest.mark.parametrize("headers", SAYINGS.values(), ids=SAYINGS)
def test_no_header_makes_a_visitor_somebody_on_the_server(fronted_site: Site, headers: Mapping[str, str]) -> None:
    answer = by_the_front(fronted_site, "/metrics", headers)
    assert answer.startswith(b"HTTP/1.1 401 ") and b"gitship_" not in answer
    assert by_the_front(fronted_site, "/healthz", headers).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("name", ["Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP"])
def test_another_proxy_before_it_is_not_the_server_itself(fronted_site: Site, name: str) -> None:
    assert fronted_site.get("/metrics", cookie="").status == 200
    assert fronted_site.get("/metrics", cookie="", headers={name: "127.0.0.1"}).status == 401


def test_the_address_in_the_audit_log_is_what_varnish_says(fronted_site: Site) -> None:
    link = fronted_site.operations.sign_ins.link(fronted_site.key("bob", Role.VIEWER))
    varnish = {"X-Real-IP": "192.0.2.9", "X-Forwarded-For": "192.0.2.9", "X-Forwarded-Proto": "https"}
    answer = by_the_front(fronted_site, f"/sign-in/{link}", varnish, "POST")
    assert answer.startswith(b"HTTP/1.1 303 ") and b"__Host-gitship=" in answer
    assert fronted_site.store.audit()[0].address == "192.0.2.9"


def test_only_varnish_may_connect(fronted_site: Site) -> None:
    found = fronted_site.settings.status_socket.stat()
    group = reader_group()
    assert stat.S_IMODE(found.st_mode) == (0o600 if group is None else 0o660)
    assert group is None or found.st_gid == group


def test_without_a_host_name_there_is_no_socket(site: Site) -> None:
    assert not site.settings.status_socket.exists()
