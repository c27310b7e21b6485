"""What a check sees of a real server; whole containers stand in the end-to-end tests."""

from __future__ import annotations

import datetime
import http.server
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gitship.containers import early_responses
from gitship.containers.probe import http_answer, listens
from gitship.model import Check
from tests.places import refusing_port


class Handler(http.server.BaseHTTPRequestHandler):
    """/200, /302, /404, /500 answer so; the body names the Host and the header X-Probe."""

    def do_GET(self) -> None:
        body = f"{self.headers['Host']} {self.headers['X-Probe']}".encode()
        self.send_response(int(self.path.strip("/") or "200"))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


def serve(context: ssl.SSLContext | None = None) -> tuple[http.server.ThreadingHTTPServer, int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, name="app", daemon=True).start()
    return server, server.server_address[1]


@pytest.fixture
def port() -> Iterator[int]:
    server, number = serve()
    yield number
    server.shutdown()
    server.server_close()


@pytest.fixture
def https_port(tmp_path: Path) -> Iterator[int]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "shop.example.com")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "app.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server, number = serve(context)
    yield number
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("path", "lenient", "passes"),
    [("/200", False, True), ("/302", False, True), ("/404", False, False), ("/404", True, True), ("/500", True, False)],
)
def test_the_status_decides(port: int, path: str, lenient: bool, passes: bool) -> None:
    passed, seen = http_answer(Check(path=path, lenient=lenient), "127.0.0.1", port, "shop.localhost")
    assert passed is passes
    assert seen == (f"GET {path} {path[1:]}" if passes else f"GET {path} answered {path[1:]}")


def test_headers_and_host_reach_the_app(port: int) -> None:
    check = Check(headers={"X-Probe": "yes"}, content="shop.localhost yes")
    assert http_answer(check, "127.0.0.1", port, "shop.localhost")[0]


def test_missing_content_is_named(port: int) -> None:
    passed, seen = http_answer(Check(content="welcome"), "127.0.0.1", port, "shop.localhost")
    assert not passed
    assert "'welcome'" in seen


def test_an_app_that_speaks_https_itself_is_asked_in_https(https_port: int) -> None:
    assert http_answer(Check(path="/200", scheme="https"), "127.0.0.1", https_port, "shop.localhost")[0]
    assert not http_answer(Check(path="/200"), "127.0.0.1", https_port, "shop.localhost")[0]


def test_nobody_there_is_told_as_such() -> None:
    with refusing_port() as number:
        for passed, seen in (
            listens("127.0.0.1", number, 1.0),
            http_answer(Check(), "127.0.0.1", number, "shop.localhost"),
        ):
            assert not passed
            assert seen == f"connection to port {number} failed: Connection refused"


def test_a_server_that_says_nothing_runs_into_the_time_out() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        number = silent.getsockname()[1]
        assert listens("127.0.0.1", number, 1.0) == (True, f"listens on {number}")
        passed, seen = http_answer(Check(timeout_s=0.2), "127.0.0.1", number, "shop.localhost")
        assert not passed
        assert seen == f"no answer on port {number} within 0.2 s"


def test_something_that_is_not_http_is_named() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()

        def babble() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"220 mail ready\r\n")

        thread = threading.Thread(target=babble, name="babble")
        thread.start()
        passed, seen = http_answer(Check(), "127.0.0.1", server.getsockname()[1], "shop.localhost")
        thread.join(5)
        assert not passed
        assert "not HTTP" in seen


@pytest.mark.parametrize(("status", "phrase"), [(103, "103 Early Hints"), (102, "102 Processing"), (199, "199")])
def test_an_answer_before_the_real_one_is_named_with_what_visitors_would_get(status: int, phrase: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hint() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(f"HTTP/1.1 {status} x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".encode())

        threading.Thread(target=hint, name="hint", daemon=True).start()
        passed, seen = http_answer(Check(lenient=True), "127.0.0.1", server.getsockname()[1], "shop.localhost")
    assert (passed, early_responses.is_cause(seen)) == (False, True)
    assert seen.startswith(f"GET / is answered with {phrase} before") and seen.endswith("503")
