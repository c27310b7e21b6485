"""Whether a domain leads here, asked of DNS and of whoever answers at its address."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress

import pytest

from gitship.front.acme_challenges import PATH
from gitship.https import domain_check


class Visible:
    """Varnish at the address of the domain, or somebody else's server there: ``ours``."""

    def __init__(self) -> None:
        self.ours = True
        self.answers: dict[str, str] = {}
        self.told: list[int] = []
        self.hosts: list[str] = []

    def answer(self, answers: Mapping[str, str]) -> None:
        self.answers = dict(answers)
        self.told.append(len(answers))


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Iterator[Visible]:
    found = Visible()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.hosts.append(self.headers["Host"])
            text = found.answers.get(self.path.removeprefix(PATH), "") if found.ours else "<h1>parked</h1>"
            self.send_response(200 if text else 404)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:
            return None

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="there")
    thread.start()
    address = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.server_port))]
    monkeypatch.setattr(domain_check, "PORT", server.server_port)
    monkeypatch.setattr(domain_check, "is_ours", lambda address: False)  # it is a router's, as seen from here
    monkeypatch.setattr(socket, "getaddrinfo", lambda *asked, **how: address)
    try:
        yield found
    finally:
        monkeypatch.undo()
        server.shutdown()
        thread.join(10)
        server.server_close()


def test_a_name_that_is_nowhere_is_told() -> None:
    told: list[Mapping[str, str]] = []
    assert domain_check.problems(["nowhere.gitship.invalid"], told.append) == {
        "nowhere.gitship.invalid": "it has no address in DNS"
    }
    assert told == []


def test_an_address_of_this_machine_will_do() -> None:
    told: list[Mapping[str, str]] = []
    assert domain_check.problems(["localhost"], told.append) == {} and told == []


def test_an_address_that_leads_here_will_do(there: Visible) -> None:
    assert domain_check.problems(["a.example.com", "b.example.com"], there.answer) == {}
    assert sorted(there.hosts) == ["a.example.com", "b.example.com"]
    assert there.told == [1, 0]  # and nothing is answered any more


def test_somebody_elses_server_is_told_by_its_address(there: Visible) -> None:
    there.ours = False
    problems = domain_check.problems(["a.example.com"], there.answer)
    assert problems["a.example.com"].startswith("it resolves to 127.0.0.1, and requests to it do not reach this server")
    assert there.answers == {}


def test_names_that_hang_keep_nobody_waiting_for_ever(there: Visible, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a stranger's DNS nor a stranger's server holds up the certificates of others."""
    monkeypatch.setattr(domain_check, "MOST_S", 1.0)
    over = threading.Event()
    real = socket.getaddrinfo

    def look(host: str, *more: object, **how: object) -> object:
        if host.startswith("hangs"):
            over.wait(30)
        return real(host, *more, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", look)
    problems: dict[str, str] = {}
    names = [f"hangs{n}.example.com" for n in range(20)]
    thread = threading.Thread(
        target=lambda: problems.update(domain_check.problems([*names, "a.example.com"], there.answer)), name="problems"
    )
    thread.start()
    thread.join(20)
    over.set()
    assert not thread.is_alive()
    assert set(names) <= problems.keys() and "too slow" in problems[names[0]]


def test_a_server_that_drips_does_not_lead_here(there: Visible, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domain_check, "TIMEOUT_S", 0.5)
    ends = threading.Event()

    def drip() -> None:
        connection, _ = server.accept()
        with connection, suppress(OSError):
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
            while not ends.wait(0.1):
                connection.sendall(b"y")

    with socket.create_server(("127.0.0.1", 0)) as server:
        address = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", server.getsockname())]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *asked, **how: address)
        dripping = threading.Thread(target=drip, name="drip")
        dripping.start()
        problems: dict[str, str] = {}
        asking = threading.Thread(
            target=lambda: problems.update(domain_check.problems(["a.example.com"], there.answer)),
            name="asking",
            daemon=True,
        )
        asking.start()
        asking.join(20)
        alive = asking.is_alive()
        ends.set()
        dripping.join(20)
    assert not alive and "requests to it do not reach this server" in problems["a.example.com"]
