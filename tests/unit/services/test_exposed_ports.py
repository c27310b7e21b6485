"""Exposed ports: TLS from the first byte or as PostgreSQL's clients ask for it, for allowed networks; never plain."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitship.errors import ConfigError, ServiceError
from gitship.front.tls import self_signed
from gitship.model.services import Exposure, Service
from gitship.services import exposed_ports
from gitship.services.exposed_ports import GSS_REQUEST, SSL_REQUEST, ExposedPorts, allowed
from gitship.services.outside_connections import OutsideConnections
from gitship.services.service_container import ServiceContainers
from gitship.store import Store
from tests.places import free_port
from tests.unit.memory.services import running_service
from tests.waiting import wait_until

TIMEOUT_S = 20.0
LOCAL = ("127.0.0.1/32",)


class Echo(ServiceContainers):
    """Every service is an echo on this machine, which says what it gets."""

    def __init__(self) -> None:
        self.outside = OutsideConnections()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.got = bytearray()
        self.open = 0
        threading.Thread(target=self._run, daemon=True).start()

    def address(self, service: Service) -> tuple[str, int]:
        host, port = self.listener.getsockname()
        return host, port

    def _run(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._echo, args=(sock,), daemon=True).start()

    def _echo(self, sock: socket.socket) -> None:
        self.open += 1
        with sock:
            try:
                while data := sock.recv(1 << 16):
                    self.got += data
                    sock.sendall(data)
            except OSError:
                pass
        self.open -= 1


class Ports:
    def __init__(self, store: Store) -> None:
        self.store, self.echo = store, Echo()
        self.ports = ExposedPorts(store, self.echo)
        self.ports.start()
        self.service = running_service(store, "db")

    def expose(self, tls: str = "direct", networks: tuple[str, ...] = LOCAL) -> Exposure:
        made = Exposure(self.service.id, free_port(), networks, tls, self_signed.make(["db.example.com"], 30))
        self.store.put_exposure(made)
        self.ports.sync()
        return made


@pytest.fixture
def ports(tmp_path: Path) -> Iterator[Ports]:
    store = Store(tmp_path / "gitship.db")
    made = Ports(store)
    yield made
    made.ports.stop()
    made.echo.listener.close()
    store.close()


def connect(exposure: Exposure) -> socket.socket:
    return socket.create_connection(("127.0.0.1", exposure.port), timeout=TIMEOUT_S)


def with_tls(exposure: Exposure, sock: socket.socket, alpn: str = "") -> ssl.SSLSocket:
    """The certificate is checked, by the copy that `services:expose` prints."""
    context = ssl.create_default_context(cadata=exposure.certificate)
    if alpn:
        context.set_alpn_protocols([alpn])
    return context.wrap_socket(sock, server_hostname="db.example.com")


def hung_up(sock: socket.socket) -> bool:
    """The server has ended the connection, by whichever way. Raises TimeoutError when it has not."""
    try:
        return sock.recv(1) == b""
    except (ConnectionError, ssl.SSLError):
        return True


def test_tls_from_the_first_byte(ports: Ports) -> None:
    exposure = ports.expose()
    sent = bytes(range(256)) * 8_000
    with with_tls(exposure, connect(exposure)) as client:
        writer = threading.Thread(target=client.sendall, args=(sent[:1000],))
        writer.start()
        found = client.recv(1000)
        while len(found) < 1000:
            found += client.recv(1000)
        assert found == sent[:1000]
        writer.join(TIMEOUT_S)
    wait_until(lambda: ports.echo.open == 0, TIMEOUT_S, "the service sees the end")


@pytest.mark.parametrize("begin", [b"", SSL_REQUEST, GSS_REQUEST + SSL_REQUEST])
def test_postgres_clients_ask_first_or_do_not(ports: Ports, begin: bytes) -> None:
    exposure = ports.expose("postgres")
    sock = connect(exposure)
    for start in range(0, len(begin), 8):
        request = begin[start : start + 8]
        sock.sendall(request)
        assert sock.recv(1) == (b"S" if request == SSL_REQUEST else b"N")
    with with_tls(exposure, sock, "postgresql") as client:
        assert client.selected_alpn_protocol() == "postgresql"
        client.sendall(b"startup")
        assert client.recv(7) == b"startup"
    assert ports.echo.got == b"startup"  # the request itself is not the service's


@pytest.mark.parametrize("tls", ["direct", "postgres"])
@pytest.mark.parametrize("plain", [b"\x00\x00\x00\x28\x00\x03\x00\x00user\x00root\x00\x00" * 3, b"PING\r\n" * 30])
def test_not_a_byte_of_plain_text_is_passed_on(ports: Ports, tls: str, plain: bytes) -> None:
    exposure = ports.expose(tls)
    with connect(exposure) as client:
        client.sendall(plain)
        try:
            while client.recv(1 << 16):
                pass
        except ConnectionResetError:
            pass
    assert ports.echo.got == b""
    assert ports.echo.open == 0


def test_what_stands_between_the_request_and_tls_is_not_taken_for_the_clients(ports: Ports) -> None:
    """As CVE-2021-23214: somebody on the way could put it there."""
    exposure = ports.expose("postgres")
    with connect(exposure) as sock:
        sock.sendall(SSL_REQUEST + b"Q\x00\x00\x00\x0bDROP x\x00")
        assert sock.recv(1) == b"S"
        with pytest.raises((ssl.SSLError, OSError)):
            with_tls(exposure, sock)
    assert ports.echo.got == b""


def test_other_networks_are_hung_up_on_before_a_byte(ports: Ports) -> None:
    exposure = ports.expose(networks=("203.0.113.0/24", "2001:db8::/32"))
    with connect(exposure) as client, pytest.raises((ssl.SSLError, ConnectionError)):
        with_tls(exposure, client)
    assert allowed(exposure, "203.0.113.7")
    assert allowed(exposure, "::ffff:203.0.113.7")
    assert allowed(exposure, "2001:db8::7")
    assert not allowed(exposure, "203.0.114.7")
    assert not allowed(exposure, "::ffff:127.0.0.1")


def test_a_client_that_says_nothing_is_hung_up_on(ports: Ports, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exposed_ports, "HANDSHAKE_S", 0.2)
    for tls in ("direct", "postgres"):
        with connect(ports.expose(tls)) as client:
            assert hung_up(client)


def test_no_more_than_so_many(ports: Ports, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exposed_ports, "MOST", 1)
    exposure = ports.expose()
    with with_tls(exposure, connect(exposure)) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        with pytest.raises((ssl.SSLError, OSError)):
            with_tls(exposure, connect(exposure))


def test_connections_end_when_it_is_exposed_no_more_and_while_data_are_copied(ports: Ports) -> None:
    exposure = ports.expose()
    with with_tls(exposure, connect(exposure)) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        ports.echo.outside.shut(ports.service)
        assert client.recv(1) == b""
    ports.echo.outside.allow(ports.service)
    with with_tls(exposure, connect(exposure)) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        ports.store.delete_exposure(ports.service.id)
        ports.ports.sync()
        assert hung_up(client)
    with pytest.raises(ConnectionRefusedError):
        connect(exposure)


def test_a_port_that_is_taken_is_told_and_the_one_before_stays(ports: Ports) -> None:
    exposure = ports.expose()
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = Exposure(ports.service.id, other.getsockname()[1], LOCAL, "direct", exposure.pem)
        with pytest.raises(ConfigError, match="cannot be opened"):
            ports.ports.open(taken)
    with with_tls(exposure, connect(exposure)) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"


def test_a_service_that_does_not_run_is_hung_up_on(ports: Ports) -> None:
    def down(service: Service) -> tuple[str, int]:
        raise ServiceError("db does not run now")

    exposure = ports.expose()
    ports.echo.address = down  # type: ignore[method-assign]
    with with_tls(exposure, connect(exposure)) as client:
        assert hung_up(client)


def test_a_new_start_opens_the_same_ports(ports: Ports) -> None:
    exposure = ports.expose()
    ports.ports.stop()
    with pytest.raises(ConnectionRefusedError):
        connect(exposure)
    ports.ports.start()
    with with_tls(exposure, connect(exposure)) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
