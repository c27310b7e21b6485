"""HTTPS by command: certificates of a real authority's protocol, one's own, and none."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from cryptography import x509

from tests.e2e import apps
from tests.e2e.authority import Pebble, pebble
from tests.e2e.commands import ok, shown
from tests.e2e.harness import Server, running
from tests.places import free_port
from tests.unit.certs import bundle
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

WWW, BARE = "www.gitship-shop.net", "gitship-shop.net"
STATUS = "status.gitship-ops.net"
HOOK = """\
#!{python}
import json, sys, urllib.request
action, name, value = sys.argv[1:]
body = {{"host": name + "."}} | ({{"value": value}} if action == "add" else {{}})
command = "set-txt" if action == "add" else "clear-txt"
urllib.request.urlopen("{dns}/" + command, json.dumps(body).encode(), timeout=10).close()
with open("{calls}", "a") as calls:
    print(action, name, value, file=calls)
"""


@pytest.fixture(scope="module")
def authority(module_base: Path) -> Iterator[Pebble]:
    with pebble(module_base / "pebble", HTTP_PORT) as started:
        yield started


HTTP_PORT = free_port()  # pebble and the server have to agree on it before either runs


@pytest.fixture(scope="module")
def server(
    request: pytest.FixtureRequest, module_base: Path, docker_host: str, authority: Pebble, tiny_binary: Path
) -> Iterator[Server]:
    settings = {
        "https": {**authority.settings, "listen": f"127.0.0.1:{free_port()}"},
        "web": {"domain": STATUS},
    }
    failed = request.session.testsfailed
    with running(
        module_base / "server",
        docker_host,
        lambda: request.session.testsfailed > failed,
        http_port=HTTP_PORT,
        **settings,
    ) as started:
        started.push_ok(apps.tiny(module_base / "shop", tiny_binary), "shop")
        yield started


def https(server: Server) -> tuple[str, int]:
    host, _, port = server.settings["https"]["listen"].partition(":")
    return host, int(port)


def certificate(server: Server, host: str, root: str | None = None) -> x509.Certificate:
    """What a visitor is shown; with ``root`` the connection fails unless that vouches for it and the host is right."""
    context = ssl.create_default_context(cadata=root)
    if root is None:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(https(server), 10) as plain,
        context.wrap_socket(plain, server_hostname=host) as connection,
    ):
        return x509.load_der_x509_certificate(connection.getpeercert(binary_form=True) or b"")


def visit(server: Server, host: str, root: str, path: str = "/") -> int:
    return ask(server, host, root, "GET", path)[0]


def ask(
    server: Server, host: str, root: str, method: str, path: str, headers: dict[str, str] | None = None
) -> tuple[int, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection(*https(server), timeout=10)
    plain = socket.create_connection(https(server), 10)
    connection.sock = ssl.create_default_context(cadata=root).wrap_socket(plain, server_hostname=host)
    connection.request(method, path, headers={"Host": f"{host}:{https(server)[1]}", **(headers or {})})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, answer.headers


def status(server: Server, app: str = "shop") -> dict[str, dict[str, Any]]:
    return {row["host"]: row for row in shown(server, "https:status", app)}


def accounts(server: Server) -> dict[str, str]:
    return {path.name: path.read_text() for path in (server.data_dir / "acme").iterdir()}


def test_two_domains_are_served_by_https_with_the_issued_chain(server: Server, authority: Pebble) -> None:
    ok(server, "domains:add", "shop", WWW)
    ok(server, "domains:add", "shop", BARE)
    assert server.request(WWW).status == 200
    ok(server, "maintenance:on", "shop")  # the challenge is answered all the same
    said = ok(server, "https:enable", "shop")
    ok(server, "maintenance:off", "shop")
    assert f"{WWW}: certificate of Pebble Intermediate CA" in said
    root = authority.root()
    names = certificate(server, WWW, root).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert set(names.value.get_values_for_type(x509.DNSName)) == {WWW, BARE}
    assert [visit(server, host, root) for host in (WWW, BARE)] == [200, 200]
    answer = server.request(WWW, "/a?b=c", method="POST", body=b"x")
    assert (answer.status, answer.headers["location"]) == (308, f"https://{WWW}:{https(server)[1]}/a?b=c")
    assert server.get("shop").status == 200  # shop.localhost has a certificate that browsers warn of
    assert {host: row["state"] for host, row in status(server).items()} == {
        WWW: "ok", BARE: "ok", "shop.localhost": "self-signed",
    }  # fmt: skip


def test_a_renewal_uses_the_same_account_after_a_restart(server: Server, authority: Pebble) -> None:
    refused = server.ssh("https:renew", "shop")
    assert (refused.returncode, "is not due for renewal" in refused.stderr) == (1, True)
    before, account = certificate(server, WWW), accounts(server)
    server.restart()
    assert certificate(server, WWW) == before
    ok(server, "https:renew", "shop", "--force")
    after = certificate(server, WWW, authority.root())
    assert after.serial_number != before.serial_number
    assert accounts(server) == account
    [document] = map(json.loads, account.values())
    assert document["uri"] and document["key"]["kty"] == "EC"
    assert authority.log.read_text().count("There are now 1 accounts in memory") == 1


def test_a_challenge_that_fails_leaves_everything_as_it_was(server: Server, authority: Pebble) -> None:
    before, shown = certificate(server, WWW), status(server)
    authority.tell_dns("add-a", host="far.gitship-shop.net.", addresses=["127.0.0.77"])  # nobody listens there
    ok(server, "domains:add", "shop", "far.gitship-shop.net")
    failed = server.ssh("https:renew", "shop", "--force")
    assert failed.returncode == 1
    assert "could not verify far.gitship-shop.net" in failed.stderr and "port 80" in failed.stderr
    assert certificate(server, WWW) == before
    row = status(server).pop("far.gitship-shop.net")
    assert (row["state"], "far.gitship-shop.net" in row["problem"]) == ("none", True) and row["retry_at"]
    assert server.request("far.gitship-shop.net").status == 200  # not sent to https
    ok(server, "domains:remove", "shop", "far.gitship-shop.net")
    assert {h: r["not_after"] for h, r in status(server).items()} == {h: r["not_after"] for h, r in shown.items()}


def test_ones_own_certificate_comes_first_and_goes_again(server: Server, authority: Pebble) -> None:
    before = certificate(server, WWW)
    added = server.ssh("certs:add", "shop", stdin=bundle(WWW, BARE))
    assert added.returncode == 0 and "not valid for shop.localhost" in added.stderr
    assert certificate(server, WWW).issuer.rfc4514_string() == "CN=Test Intermediate"
    for bad, reason in (
        ("", "standard input is empty"),
        (bundle(WWW, days=-0.5), "expired"),
        (bundle("other.example.net"), "which are not domains of"),
        (bundle(WWW).partition("-----BEGIN PRIVATE")[0], "no private key"),
    ):
        done = server.ssh("certs:add", "shop", stdin=bad)
        assert (done.returncode != 0, reason in done.stderr) == (True, True), done.stderr
    assert certificate(server, WWW).issuer.rfc4514_string() == "CN=Test Intermediate"
    ok(server, "certs:remove", "shop")
    assert certificate(server, WWW) == before


def test_a_killed_gitship_leaves_https_up_and_finds_it_again(server: Server, authority: Pebble) -> None:
    pid = (server.data_dir / "tls/haproxy.pid").read_text()
    server.kill9()
    assert visit(server, WWW, authority.root()) == 200
    server.start()
    assert (server.data_dir / "tls/haproxy.pid").read_text() == pid
    assert visit(server, WWW, authority.root()) == 200
    os.kill(int(pid), signal.SIGKILL)
    server.ssh("apps:create", "soon")  # a change is looked at at once

    def back() -> bool:
        with contextlib.suppress(OSError):
            return visit(server, WWW, authority.root()) == 200
        return False

    wait_until(back, 30, "haproxy is back")


def test_a_wildcard_is_proved_by_the_servers_hook(server: Server, authority: Pebble) -> None:
    ok(server, "domains:add", "shop", "*.wild-shop.net")
    assert "dns-01 hook" in status(server)["*.wild-shop.net"]["problem"]
    calls = server.base / "dns-01.calls"
    hook = server.data_dir / "hooks/dns-01"
    hook.write_text(HOOK.format(python=sys.executable, dns=authority.dns, calls=calls))
    hook.chmod(0o755)
    wait_until(lambda: status(server)["*.wild-shop.net"]["state"] == "ok", 40, "a certificate", 0.5)
    assert visit(server, "any.wild-shop.net", authority.root()) == 200
    added, removed = (line.split() for line in calls.read_text().splitlines())
    assert (added[:2], removed[0]) == (["add", "_acme-challenge.wild-shop.net"], "remove")
    assert added[1:] == removed[1:]
    ok(server, "domains:remove", "shop", "*.wild-shop.net")
    hook.unlink()


def test_a_hook_that_fails_costs_names_without_a_wildcard_nothing(server: Server, authority: Pebble) -> None:
    hook = server.data_dir / "hooks/dns-01"
    hook.write_text("#!/bin/sh\necho 'the token is not valid any more' >&2\nexit 3\n")
    hook.chmod(0o755)
    ok(server, "domains:add", "shop", "*.unproved-shop.net", "plain-shop.net")  # never proved: it takes older proofs
    wait_until(lambda: status(server)["plain-shop.net"]["state"] == "ok", 40, "a certificate", 0.5)
    assert "exit 3: the token is not valid" in status(server)["*.unproved-shop.net"]["problem"]
    ok(server, "domains:remove", "shop", "*.unproved-shop.net", "plain-shop.net")
    hook.unlink()


def test_the_status_page_is_served_by_https_at_its_own_domain(server: Server, authority: Pebble) -> None:
    assert server.request(STATUS).status == 401
    assert server.ssh("web").stdout.startswith(f"http://{STATUS}:{server.http_port}/sign-in/")
    assert f"{STATUS}: certificate of Pebble Intermediate CA" in ok(server, "https:enable", "--status-page")
    root = authority.root()
    assert visit(server, STATUS, root) == 401
    sent = server.request(STATUS, "/apps/shop?x=y")
    base = f"https://{STATUS}:{https(server)[1]}"
    assert (sent.status, sent.headers["location"]) == (308, f"{base}/apps/shop?x=y")
    link = server.ssh("web").stdout.strip()
    assert link.startswith(f"{base}/sign-in/")
    status, headers = ask(server, STATUS, root, "POST", link.removeprefix(base))
    name, _, rest = headers["Set-Cookie"].partition("=")
    assert (status, name) == (303, "__Host-gitship") and {"Secure", "HttpOnly"} <= set(rest.split("; "))
    cookie = {"Cookie": f"{name}={rest.partition(';')[0]}"}
    assert ask(server, STATUS, root, "GET", "/", cookie)[0] == 200
    rows = shown(server, "https:status")
    assert [(row["app"], row["state"]) for row in rows if row["host"] == STATUS] == [(None, "ok")]
    before = certificate(server, STATUS)
    server.restart()
    assert certificate(server, STATUS) == before and server.request(STATUS).status == 308
    ok(server, "https:disable", "--status-page")
    assert server.request(STATUS).status == 401
    with pytest.raises(ssl.SSLError):
        visit(server, STATUS, root)


def test_disabled_https_is_gone_at_once(server: Server) -> None:
    ok(server, "https:disable", "shop")
    assert server.request(WWW).status == 200
    with pytest.raises(OSError):
        socket.create_connection(https(server), 5).close()
    assert {row["state"] for row in status(server).values()} == {"off"}


def test_with_an_address_in_the_settings_nobody_has_to_ask(server: Server, authority: Pebble, tiny_app: Any) -> None:
    settings = tomllib.loads(server.config.read_text())
    settings["https"]["email"] = "ops@gitship-shop.net"
    server.config.write_text(tomli_w.dumps(settings))
    server.restart()
    server.push_ok(tiny_app("blog"), "blog")
    ok(server, "domains:add", "blog", "blog.gitship-shop.net")
    wait_until(lambda: status(server, "blog")["blog.gitship-shop.net"]["state"] == "ok", 40, "a certificate", 0.5)
    assert visit(server, "blog.gitship-shop.net", authority.root()) == 200
    assert status(server)[WWW]["state"] == "off"  # it was said so
    said = ok(server, "ps:restart", "blog")
    assert f"https://blog.gitship-shop.net:{https(server)[1]}" in said
    ok(server, "apps:destroy", "blog", "--force")
    wait_until(lambda: not list((server.data_dir / "certs").glob("blog-*")), 30, "its certificate is gone")
