"""haproxy before Varnish: who the visitor is, which certificate is shown, and changes that nobody notices."""

from __future__ import annotations

import asyncio
import grp
import http.client
import os
import pwd
import re
import socket
import ssl
import stat
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from gitship.config_values import Address
from gitship.errors import FrontError
from gitship.front.front import Front
from gitship.front.gate import Gate, HttpsRedirect, Login
from gitship.front.tls import self_signed, served_certificates
from gitship.front.tls.served_certificates import ServedCertificate
from gitship.front.tls.terminator import DEFAULT_NAME, Terminator
from tests.e2e.front.asking import app, ask, raw, until_closed
from tests.e2e.front.conftest import switch
from tests.e2e.front.http2 import Visitor
from tests.e2e.front.origin import Origin
from tests.places import free_port
from tests.unit.certs import leaf

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

HOST, OTHER = "shop.example.com", "blog.example.com"
SHOP = ServedCertificate("shop", self_signed.make([HOST], 30), (HOST,))
BLOG = ServedCertificate("blog", self_signed.make(["*.example.com"], 30), (OTHER,))


@pytest.fixture(scope="module")
def tls(shared: Front, module_base: Path) -> Iterator[Terminator]:
    terminator = Terminator(
        Address("127.0.0.1", free_port()), module_base / "tls", module_base / "certs", module_base / "varnish"
    )
    try:
        terminator.bring([SHOP, BLOG])
        yield terminator
    finally:
        terminator.stop()


@pytest.fixture
def origin(shared: Front) -> Iterator[Origin]:
    with Origin("v1") as started:
        shared.set_hosts({HOST: "shop", OTHER: "blog"})
        switch(shared, app("shop", started))
        yield started
        shared.remove("shop")
        shared.remove("blog")


VISITOR = "127.0.0.9"  # not the address that everything else here comes from


def connect(tls: Terminator, host: str, protocol: str = "http/1.1") -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # the default one reads all root certificates: 20 ms
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    plain = socket.create_connection((tls.listen.host, tls.listen.port), 10, source_address=(VISITOR, 0))
    return context.wrap_socket(plain, server_hostname=host)


def shown(tls: Terminator, host: str) -> list[str]:
    """The names in the certificate that a visitor of ``host`` gets."""
    with connect(tls, host) as connection:
        der = connection.getpeercert(binary_form=True)
    assert der is not None
    names = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return names.value.get_values_for_type(x509.DNSName)


def get(
    tls: Terminator, host: str, path: str = "/", headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection(tls.listen.host, tls.listen.port, timeout=10)
    connection.sock = connect(tls, host)
    connection.request("GET", path, headers={"Host": host, **(headers or {})})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, {k.lower(): v for k, v in answer.getheaders()}, text


def test_the_app_sees_https_and_the_visitor_whatever_is_claimed(tls: Terminator, origin: Origin) -> None:
    claimed = {
        "X-Forwarded-Proto": "gopher", "X-Forwarded-For": "6.6.6.6", "X-Real-IP": "6.6.6.6", "Forwarded": "for=6.6.6.6",
        "X-Forwarded-Port": "1",
    }  # fmt: skip
    assert get(tls, HOST, "/seen", claimed)[0] == 200
    seen = origin.seen[-1].headers
    assert (seen["x-forwarded-proto"], seen["x-forwarded-port"]) == ("https", str(tls.listen.port))
    assert (seen["x-forwarded-for"], seen["x-real-ip"], seen.get("forwarded")) == (VISITOR, VISITOR, None)


def test_each_host_gets_its_certificate_and_strangers_the_default(tls: Terminator, origin: Origin) -> None:
    assert shown(tls, HOST) == [HOST]
    assert shown(tls, OTHER) == ["*.example.com"]
    assert shown(tls, "third.example.com") == [DEFAULT_NAME]  # covered by blog's certificate, but not blog's host
    assert shown(tls, "127.0.0.1") == [DEFAULT_NAME]
    assert get(tls, "third.example.com")[0] == 404


def test_pages_are_cached_apart_for_http_and_https(shared: Front, tls: Terminator, origin: Origin) -> None:
    path = "/cached?cache-control=max-age=60"
    assert [get(tls, HOST, path)[1]["x-cache"] for _ in range(2)] == ["miss", "hit"]
    assert [ask(shared.address, HOST, path).headers["x-cache"] for _ in range(2)] == ["miss", "hit"]


def test_http_2_is_agreed_on_and_works(tls: Terminator, origin: Origin) -> None:
    command = [
        "curl", "-sk", "--http2", "-w", "%{http_version} %{http_code}", "-o", "/dev/null", "--max-time", "10",
        "--connect-to", f"::127.0.0.1:{tls.listen.port}", f"https://{HOST}/two",
    ]  # fmt: skip
    assert subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout == "2 200"
    assert origin.seen[-1].headers["x-forwarded-proto"] == "https"


def test_http_2_over_tls_goes_on_while_the_release_changes(shared: Front, tls: Terminator, origin: Origin) -> None:
    connection = connect(tls, HOST, "h2")
    assert connection.selected_alpn_protocol() == "h2"
    with Origin("v2") as two, closing(Visitor(tls.listen, HOST, connection)) as visitor:
        under_way = visitor.begin("/wait")
        assert origin.arrived.wait(10)
        upload = visitor.begin("/upload", "POST", ended=False)
        old = shared.labelled("shop")
        assert old is not None
        try:
            switch(shared, app("shop", two, release="v2"))
            shared.discard(old)
            assert visitor.ask("/after").body == b"v2 0"
            origin.go_on.set()
            assert visitor.reply(under_way).body == b"v1"
            assert visitor.finish(upload, bytes(100_000)).status == 200
        finally:
            switch(shared, app("shop", origin))


# Mozilla's intermediate profile, 5.7, without DHE. Written out here: what the server is told is another thing.
CIPHERS = {"AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305"}
SUITES = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
CURVES = ["X25519", "prime256v1", "secp384r1"]


def handshake(tls: Terminator, host: str, *options: str) -> str:
    """The cipher that the server picks; "" when it refuses."""
    command = ["openssl", "s_client", "-connect", f"{tls.listen}", "-servername", host, *options]
    said = subprocess.run(command, input="", capture_output=True, text=True, timeout=20, check=False).stdout
    found = re.search(r"Cipher is (\S+)", said)
    return "" if found is None or found[1] == "(NONE)" else found[1]


def picked(tls: Terminator, host: str, protocol: str) -> list[str]:
    """Every cipher that the server takes: each is left out of the next offer, until it takes none (as testssl does)."""
    known = ["openssl", "ciphers", "-s", protocol, "ALL:COMPLEMENTOFALL:@SECLEVEL=0"]
    left = subprocess.run(known, capture_output=True, text=True, timeout=20, check=True).stdout.strip().split(":")
    assert len(left) > 2
    found: list[str] = []
    while left:
        offer = ["-ciphersuites", ":".join(left)] if protocol == "-tls1_3" else ["-cipher", ":".join(left)]
        offer[-1] += "" if protocol == "-tls1_3" else ":@SECLEVEL=0"
        cipher = handshake(tls, host, protocol, *offer)
        if not cipher:
            break
        assert cipher in left
        left.remove(cipher)
        found.append(cipher)
    return found


@pytest.mark.parametrize("kind", ["ECDSA", "RSA"])
def test_protocols_and_ciphers_are_those_of_the_intermediate_profile(tls: Terminator, kind: str) -> None:
    host = HOST
    if kind == "RSA":
        host, made = "rsa.example.com", leaf("rsa.example.com", key=rsa.generate_private_key(65537, 2048))
        tls.bring([SHOP, BLOG, ServedCertificate("rsa", made.pem + made.key_pem, (host,))])
    found = {protocol: picked(tls, host, protocol) for protocol in ("-tls1", "-tls1_1", "-tls1_2", "-tls1_3")}
    assert (found["-tls1"], found["-tls1_1"]) == ([], [])
    assert sorted(found["-tls1_2"]) == sorted(f"ECDHE-{kind}-{cipher}" for cipher in CIPHERS)
    assert sorted(found["-tls1_3"]) == sorted(SUITES)
    tls.bring([SHOP, BLOG])


def test_curves_are_those_of_the_intermediate_profile(tls: Terminator) -> None:
    known = ("X25519", "prime256v1", "secp384r1", "secp521r1", "X448")  # all of OpenSSL's for TLS 1.3
    assert [curve for curve in known if handshake(tls, HOST, "-tls1_3", "-curves", curve)] == CURVES


def test_http_is_sent_to_https_before_a_password_is_asked_for(shared: Front, tls: Terminator, origin: Origin) -> None:
    https = HttpsRedirect((HOST, "*.example.org"), tls.listen.port, hsts_s=3600)
    gate = Gate(https=https, logins=(Login("ada", "YTpi"),))
    shared.set_hosts({HOST: "shop", OTHER: "shop", "a.example.org": "shop"})
    switch(shared, replace(app("shop", origin), gate=gate))
    for host in (HOST, f"{HOST.upper()}.:80", "a.example.org"):
        answer = ask(shared.address, host, "/a?b=c", method="POST", body=b"x")
        bare = host.partition(":")[0].lower().rstrip(".")
        wanted = (308, f"https://{bare}:{tls.listen.port}/a?b=c")
        assert (answer.status, answer.headers["location"].lower()) == wanted
        assert "strict-transport-security" not in answer.headers
    assert ask(shared.address, OTHER).status == 401  # no certificate: not sent anywhere
    status, headers, _ = get(tls, HOST)
    assert (status, headers["strict-transport-security"]) == (401, "max-age=3600")
    status, headers, _ = get(tls, HOST, headers={"Authorization": "Basic YTpi"})
    assert (status, headers["strict-transport-security"]) == (200, "max-age=3600")
    assert "strict-transport-security" not in get(tls, OTHER)[1]


def test_challenges_are_answered_before_every_gate_and_without_an_app(
    shared: Front, tls: Terminator, origin: Origin
) -> None:
    path = "/.well-known/acme-challenge/"
    switch(shared, replace(app("shop", origin), gate=Gate(https=HttpsRedirect((HOST,)), allow=("192.0.2.0/24",))))
    shared.answer_challenges({"tok-1": "tok-1.thumb_print", "tok-2": "tok-2.x"})
    origins = len(origin.seen)
    for host in (HOST, "unknown.example.net"):
        assert (ask(shared.address, host, f"{path}tok-1").text, get(tls, host, f"{path}tok-2")[2]) == (
            "tok-1.thumb_print", "tok-2.x",
        )  # fmt: skip
        assert ask(shared.address, host, f"{path}other").status == 404
    shared.answer_challenges({})
    assert ask(shared.address, HOST, f"{path}tok-1").status == 404
    assert len(origin.seen) == origins
    with pytest.raises(ValueError):
        shared.answer_challenges({'x"': "y"})


def test_files_are_closed_to_others_and_serve_a_new_haproxy(shared: Front, tls: Terminator) -> None:
    newer = ServedCertificate("shop", self_signed.make([HOST], 60), (HOST,))
    tls.bring([newer, BLOG])
    pid = tls._haproxy.pid()
    files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tls._certificates.iterdir()}
    assert files == dict.fromkeys(("crt.list", served_certificates.DEFAULT, newer.name, BLOG.name), 384)
    tls.bring([newer, BLOG])
    assert tls._haproxy.pid() == pid
    tls.stop()
    assert not tls.alive()
    again = Terminator(tls.listen, tls._directory, tls._certificates, tls._varnish.parent)
    again.bring([newer, BLOG])
    assert again.alive() and (shown(again, HOST), shown(again, OTHER)) == ([HOST], ["*.example.com"])


def test_only_haproxy_can_say_who_a_visitor_is(shared: Front, tls: Terminator) -> None:
    found = tls._varnish.stat()
    if os.geteuid() == 0:
        assert (stat.S_IMODE(found.st_mode), grp.getgrgid(found.st_gid).gr_name) == (0o660, "haproxy")
        pid = tls._haproxy.pid()
        [uid] = re.findall(r"^Uid:\t(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        assert pwd.getpwuid(int(uid)).pw_name == "haproxy"
    else:
        assert stat.S_IMODE(found.st_mode) == 0o600
    with raw(shared.address, f"PROXY TCP4 6.6.6.6 1.1.1.1 1 443\nGET / HTTP/1.1\nHost: {HOST}\n\n") as connection:
        assert until_closed(connection).startswith(b"HTTP/1.1 400")


def test_a_certificate_that_haproxy_refuses_costs_no_other_host(shared: Front, tls: Terminator) -> None:
    broken = ServedCertificate("blog", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", (OTHER,))
    assert "rejected the certificate" in tls.bring([SHOP, broken])[broken.name].message
    assert (shown(tls, HOST), shown(tls, OTHER)) == ([HOST], ["*.example.com"])  # what it had goes on
    tls.stop()
    assert broken.name in tls.bring([SHOP, broken])
    assert shown(tls, HOST) == [HOST]
    tls.bring([SHOP, BLOG])


def test_an_addition_that_was_interrupted_is_made_whole(shared: Front, tls: Terminator) -> None:
    """gitship was killed between the commands that add a certificate."""
    newer = ServedCertificate("shop", self_signed.make([HOST], 70), (HOST,))
    tls._admin.ask(f"new ssl cert {tls._certificates / newer.name}")
    assert tls.bring([newer, BLOG]) == {}
    with connect(tls, HOST) as connection:
        assert ssl.DER_cert_to_PEM_cert(connection.getpeercert(binary_form=True) or b"") in newer.pem
    tls.bring([SHOP, BLOG])


def test_a_taken_port_is_named(shared: Front, base: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = Address("127.0.0.1", taken.getsockname()[1])
        terminator = Terminator(listen, base / "tls", base / "certs", base / "varnish")
        with pytest.raises(FrontError, match=rf"port {listen.port} is in use by "):
            terminator.bring([SHOP])
        terminator.stop()


CHANGES = 50


def test_certificates_change_under_load_and_no_request_fails(shared: Front, tls: Terminator, origin: Origin) -> None:
    switch(shared, app("shop", origin))
    done, failed, count = threading.Event(), [], [0, 0]
    with connect(tls, "stranger.example.org") as connection:
        default = connection.getpeercert(binary_form=True)

    def visit(keep_alive: bool) -> None:
        connection = None
        while not done.is_set():
            try:
                if connection is None or not keep_alive:
                    connection = http.client.HTTPConnection(tls.listen.host, tls.listen.port, timeout=10)
                    connection.sock = secure = connect(tls, HOST)
                    if secure.getpeercert(binary_form=True) == default:
                        failed.append("the default certificate")
                connection.request("GET", "/load", headers={"Host": HOST})
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    failed.append(str(answer.status))
                count[keep_alive] += 1
            except Exception as error:
                failed.append(repr(error))
                connection = None

    visitors = [threading.Thread(target=visit, args=(n % 2 == 0,), name=f"visitor-{n}") for n in range(4)]
    for visitor in visitors:
        visitor.start()
    serials = set()
    for number in range(CHANGES):
        entry = ServedCertificate("shop", self_signed.make([HOST], 30 + number), (HOST,))
        tls.bring([entry, BLOG])
        with connect(tls, HOST) as connection:
            serials.add(connection.getpeercert(binary_form=True))
    done.set()
    for visitor in visitors:
        visitor.join(20)
    assert (failed, len(serials)) == ([], CHANGES)
    assert min(count) > 0, count
    print(f"{CHANGES} changes, {count[0]} requests on new connections, {count[1]} on kept ones, 0 failed")


async def websocket(tls: Terminator, host: str, ready: Callable[[str], Awaitable[None]]) -> list[str]:
    """What comes back over one wss connection: before and after ``ready``."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    url = f"wss://{tls.listen}/ws"
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=(VISITOR, 0))) as session,
        session.ws_connect(url, ssl=context, server_hostname=host, headers={"Host": host}) as ws,
    ):
        said = []
        for text in ("before", "after"):
            await ws.send_str(text)
            said.append(await ws.receive_str())
            await ready(text)
    return said


def test_a_websocket_over_tls_outlives_a_deploy(shared: Front, tls: Terminator, origin: Origin) -> None:
    with Origin("v2") as newer:

        async def deploy(text: str) -> None:
            if text == "before":
                await asyncio.to_thread(switch, shared, app("shop", newer, release="v2"))
                await asyncio.to_thread(tls.bring, [replace(SHOP, pem=self_signed.make([HOST], 40)), BLOG])

        assert asyncio.run(websocket(tls, HOST, deploy)) == ["v1: before", "v1: after"]

        async def nothing(text: str) -> None:
            return None

        assert asyncio.run(websocket(tls, HOST, nothing)) == ["v2: before", "v2: after"]
        [handshake] = [seen for seen in newer.seen if seen.path == "/ws"]
        assert (handshake.headers["x-forwarded-proto"], handshake.headers["x-real-ip"]) == ("https", VISITOR)
