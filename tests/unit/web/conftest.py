"""A status page as the server runs it: real store, bus, log files and sockets. Only the deploys are told, not run."""

from __future__ import annotations

import http.client
import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import pytest
from tornado.routing import PathMatches

from gitship.config import Settings, WebSettings
from gitship.config_values import Address
from gitship.deploy.journal import DeployJournal
from gitship.events import Bus
from gitship.model import App, DeployKind, Identity, Process, Release, Role
from gitship.model.services import Service
from gitship.store import Store
from gitship.web import event_stream, live_updates
from gitship.web.server import WebServer, application
from tests.unit.memory.server import MemoryServer
from tests.unit.memory.services import running_service

TIMEOUT_S = 20.0
COMMIT = "1a2b3c4d" * 5


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


@dataclass(frozen=True, slots=True)
class SentEvent:
    """A server-sent event as a browser would hand it over; ``id`` is the last one seen so far."""

    type: str
    data: str
    id: str


class EventStream:
    """What EventSource does, without coming back by itself."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self.connection = connection
        self.answer = connection.getresponse()
        assert self.answer.status == 200
        assert self.answer.headers["Content-Type"] == "text/event-stream"
        self.last_id = ""

    def next(self) -> SentEvent | None:
        """The next event; None when the server ended the stream. Raises TimeoutError after TIMEOUT_S of silence."""
        type_, data = "message", None
        while raw := self.answer.readline():
            name, _, value = raw.decode().rstrip("\n").partition(": ")
            if name == "id":
                self.last_id = value
            elif name == "event":
                type_ = value
            elif name.startswith("data"):
                data = value
            elif not name and data is not None:
                return SentEvent(type_, data, self.last_id)
        return None

    def lines(self, count: int) -> list[SentEvent]:
        """The next ``count`` log lines, whatever comes between them."""
        found: list[SentEvent] = []
        while len(found) < count:
            event = self.next()
            assert event is not None, f"the stream ended after {len(found)} lines"
            if event.type not in ("state", "end"):
                found.append(event)
        return found

    def until(self, type_: str) -> SentEvent:
        while (event := self.next()) is not None:
            if event.type == type_:
                return event
        raise AssertionError(f"the stream ended without {type_}")


class Site:
    """The server under test, what it reads from, and a client, who is signed in as ada, an admin."""

    def __init__(self, data: Path, bus: Bus, settings: Settings | None = None) -> None:
        self.settings = settings or Settings(data_dir=data)
        self.store = Store(self.settings.database)
        self.bus = bus
        self.memory = MemoryServer(self.store, self.settings, port=8080)
        self.operations = self.memory.operations
        self.server = self.new_server(Address("127.0.0.1", 0))
        self.cookie = self.sign_in("ada", Role.ADMIN)

    def new_server(self, listen: Address) -> WebServer:
        return WebServer(listen, self.store, self.bus, self.settings, self.operations)

    def key(self, name: str, role: Role, apps: list[str] | None = None) -> Identity:
        """Who has the key of that name; it is added."""
        ids = None if apps is None else [self.store.app(a).id for a in apps]
        key = self.store.add_key(name, f"SHA256:{name}", f"ssh-ed25519 {name}", role, ids)
        return Identity(key.name, key.role, key.fingerprint, "", key.apps, key.id)

    def sign_in(self, name: str, role: Role, apps: list[str] | None = None) -> str:
        """The Cookie header of a new session of a new key."""
        link = self.operations.sign_ins.link(self.key(name, role, apps))
        made = self.operations.sign_ins.sign_in(link, "127.0.0.1")
        assert made
        return f"gitship={made[0]}"

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.server.address.port, timeout=TIMEOUT_S)

    def get(
        self, path: str, method: str = "GET", host: str = "localhost", *, cookie: str | None = None,
        headers: Mapping[str, str] | None = None, form: Mapping[str, str] | None = None,
    ) -> Answer:  # fmt: skip
        """``cookie`` "" is nobody's; None is the admin's."""
        sent = {"Host": host, "Cookie": self.cookie if cookie is None else cookie, **(headers or {})}
        body = None
        if form is not None:
            body = urlencode(form)
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        connection = self.connect()
        try:
            connection.request(method, path, body=body, headers=sent)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.headers), answer.read().decode())
        finally:
            connection.close()

    @contextmanager
    def stream(self, path: str, last_id: str = "", cookie: str = "") -> Iterator[EventStream]:
        connection = self.connect()
        try:
            more = {"Last-Event-ID": last_id} if last_id else {}
            connection.request("GET", path, headers={"Cookie": cookie or self.cookie, **more})
            yield EventStream(connection)
        finally:
            connection.close()

    def service(self, name: str, *apps: str) -> Service:
        """A postgres that runs, linked to the apps, with some figures."""
        made = running_service(self.store, name, *apps)
        self.memory.engine.printed_by_programs[made.container] = "connections\t7\nsize_bytes\t84000000\n"
        return made

    def deploy(self, app: App, commit: str = COMMIT, cause: str = "push by ada") -> DeployJournal:
        """A deploy that has begun; the journal is how a pipeline tells of it."""
        deploy = self.store.create_deploy(app.id, DeployKind.PUSH, "ada", commit=commit, cause=cause)
        return DeployJournal(deploy, app, self.store, self.bus, self.settings.logs)

    def release(self, app: App, commit: str = COMMIT, cause: str = "push by ada") -> Release:
        return self.store.create_release(
            app.id,
            commit=commit,
            image_id="sha256:ab",
            image_bytes=84_000_000,
            config={"TOKEN": "the-secret"},
            processes=(Process("web", port=5000), Process("worker")),
            cause=cause,
            created_by="ada",
        )


def addresses() -> list[str]:
    """All that the server answers to but for files, as regular expressions."""
    router = application(cast(Any, None), cast(Any, None)).wildcard_router
    found = [rule.matcher.regex.pattern for rule in router.rules if isinstance(rule.matcher, PathMatches)]
    return [address.removesuffix("$") for address in found if not re.search(r"static|favicon|robots", address)]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(live_updates, "TICK_S", 0.1)  # so that what only a tick brings takes less of the suite's time
    monkeypatch.setattr(event_stream, "LATE_LINES_S", 0.3)
    monkeypatch.setattr(event_stream, "CHANGE_EVERY_S", 0.1)
    site = Site(tmp_path / "data", Bus())
    site.server.start()
    yield site
    site.server.stop()
    site.memory.close()


@pytest.fixture
def fronted_site() -> Iterator[Site]:
    """With a host name, for which Varnish asks by a socket. Its path has to be short."""
    with tempfile.TemporaryDirectory(prefix="gs-") as directory:
        site = Site(
            Path(directory), Bus(), Settings(data_dir=Path(directory), web=WebSettings(domain="status.example"))
        )
        site.settings.varnish_dir.mkdir()
        site.server.start()
        yield site
        site.server.stop()
        site.memory.close()


@pytest.fixture
def public_site(tmp_path: Path) -> Iterator[Site]:
    """With ``web.public``."""
    site = Site(tmp_path, Bus(), Settings(data_dir=tmp_path / "data", web=WebSettings(public=True)))
    site.server.start()
    yield site
    site.server.stop()
    site.memory.close()
