"""Whether a domain leads here, asked of DNS and of whoever answers at its address."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator, Mapping

import pytest

from gitship.deploy.https import reach
from gitship.front.challenges import PATH

pytestmark = pytest.mark.unit


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
    monkeypatch.setattr(reach, "PORT", server.server_port)
    monkeypatch.setattr(reach, "is_ours", lambda address: False)  # it is a router's, as seen from here
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
    assert reach.problems(["nowhere.gitship.invalid"], told.append) == {
        "nowhere.gitship.invalid": "it has no address in DNS"
    }
    assert told == []


def test_an_address_of_this_machine_will_do() -> None:
    told: list[Mapping[str, str]] = []
    assert reach.problems(["localhost"], told.append) == {} and told == []


def test_an_address_that_leads_here_will_do(there: Visible) -> None:
    assert reach.problems(["a.example.com", "b.example.com"], there.answer) == {}
    assert there.hosts == ["a.example.com", "b.example.com"]
    assert there.told == [1, 0]  # and nothing is answered any more


def test_somebody_elses_server_is_told_by_its_address(there: Visible) -> None:
    there.ours = False
    problems = reach.problems(["a.example.com"], there.answer)
    assert problems["a.example.com"].startswith("it leads to 127.0.0.1, and no request to it arrives here")
    assert there.answers == {}
