"""A server's worth of commands on a temporary store, and sessions to run them in."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gitship.config import HttpsSettings, Settings, WebSettings
from gitship.console.context import Services
from gitship.console.dispatch import run
from gitship.console.session import Pty, Session
from gitship.model import Identity, Role
from gitship.operations.operations import Operations
from gitship.store import Store
from tests.unit.memory.server import MemoryServer

ADA = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFEeQnAGTFEzdA9Z1y618tiHXjYvxbnTtHlseYLEEvZF ada@laptop"
BOB = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAn7Um3/bUW/8ApF5DYV8slhrFbmGAHxXHTl1R0JzCqk bob"


class Sink:
    """A stream to a client; ``broken`` behaves as a client that has gone."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.broken = False
        self.on_write: Callable[[bytes], None] | None = None

    def write(self, data: bytes, /) -> int:
        if self.broken:
            raise BrokenPipeError
        self.data += data
        if self.on_write:
            self.on_write(data)
        return len(data)

    def flush(self) -> None:
        if self.broken:
            raise BrokenPipeError

    @property
    def text(self) -> str:
        return self.data.decode("utf-8")


@dataclass
class Client:
    """One session as its client sees it."""

    session: Session
    stdout: Sink
    stderr: Sink
    code: int = -1

    @property
    def out(self) -> str:
        return self.stdout.text

    @property
    def err(self) -> str:
        return self.stderr.text

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def closed(self) -> threading.Event:
        return self.session.closed


@dataclass
class World:
    """``run`` runs a command to its end; ``client`` makes a session for a test that wants to hold the strings."""

    store: Store
    settings: Settings
    memory: MemoryServer
    services: Services = field(init=False)

    def __post_init__(self) -> None:
        self.services = Services(self.store, self.settings, self.operations)

    @property
    def operations(self) -> Operations:
        return self.memory.operations

    @classmethod
    def open(cls, directory: Path, web: WebSettings | None = None) -> World:
        settings = Settings(
            data_dir=directory, domain="example.com", web=web or WebSettings(), https=HttpsSettings(check_dns=False)
        )
        store = Store(settings.database)
        return cls(store, settings, MemoryServer(store, settings))

    def client(
        self, *argv: str, role: Role = Role.ADMIN, pty: bool = False, stdin: bytes = b"", term: str = "xterm-256color",
        columns: int = 120,
    ) -> Client:  # fmt: skip
        out, err = Sink(), Sink()
        session = Session(
            argv, Identity("ada", role), io.BytesIO(stdin), out, err, Pty(term, columns, 40) if pty else None
        )
        return Client(session, out, err)

    def run(
        self, *argv: str, role: Role = Role.ADMIN, pty: bool = False, stdin: bytes = b"", term: str = "xterm-256color",
        columns: int = 120,
    ) -> Client:  # fmt: skip
        return self.go(self.client(*argv, role=role, pty=pty, stdin=stdin, term=term, columns=columns))

    def go(self, client: Client) -> Client:
        client.code = run(self.services, client.session)
        self.memory.settle()
        return client

    def ok(self, *argv: str, role: Role = Role.ADMIN) -> Client:
        client = self.run(*argv, role=role)
        assert client.code == 0, client.err
        return client
