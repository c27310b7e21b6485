"""Backing services whose servers are in memory: every command in one ends with 0, and says what a test has told it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

from gitship.config import Settings
from gitship.engine.addresses import Addresses
from gitship.engine.interface import Engine
from gitship.engine.types import Image
from gitship.model import GITSHIP, App, Identity
from gitship.model.services import LinkState, Service, ServiceLink, ServiceTask
from gitship.store import Store
from tests.unit.memory.hooked_engine import HookedEngine, HookedImages
from tests.unit.memory.services import services_of


class Ran:
    """A command that has run: see ``Program``."""

    def __init__(self, printed: bytes) -> None:
        self._printed = printed

    def output(self) -> Iterator[tuple[str, bytes]]:
        if self._printed:
            yield "stdout", self._printed

    def send(self, data: bytes) -> bool:
        return True

    def end_input(self) -> None:
        """It reads none."""

    def resize(self, columns: int, rows: int) -> bool:
        return False

    def exit_code(self) -> int:
        return 0

    def close(self) -> None:
        """It has ended."""


class ServerImages(HookedImages):
    """Every reference is the image ``id``; ``tagged`` are the tags."""

    def __init__(self, hook: Callable[[str, object], None]) -> None:
        super().__init__(hook)
        self.id = "sha256:postgres"
        self.tagged: set[str] = set()

    def inspect(self, image_id: str) -> Image:
        return Image(self.id, 1)

    def tag(self, image_id: str, name: str) -> None:
        self.tagged.add(name)

    def untag(self, name: str) -> None:
        self.tagged.discard(name)


class ServersEngine(HookedEngine):
    """``ran`` are the commands; ``before["exec"]`` is called with each. ``counted`` is what PostgreSQL counts."""

    images: ServerImages

    def __init__(self) -> None:
        super().__init__()
        self.ran: list[Sequence[str]] = []
        self.counted = b""
        self.images = ServerImages(self._hook)

    def attach_exec(self, container_id: str, command: Sequence[str], **how: object) -> Ran:
        self._hook("exec", command)
        self.ran.append(command)
        return Ran(self.counted if "-F" in command else b"")

    def connect(self, container_id: str, network: str, address: str, hosts: Sequence[str]) -> None:
        self._hook("connect", network)
        now = self.inspect(container_id)
        self.containers[container_id] = replace(now, networks={**now.networks, network: address})

    def disconnect(self, container_id: str, network: str) -> None:
        self._hook("disconnect", network)
        if container_id in self.containers:
            now = self.containers[container_id]
            left = {name: address for name, address in now.networks.items() if name != network}
            self.containers[container_id] = replace(now, networks=left)


class Servers:
    """The room of services on such an engine, and a store."""

    def __init__(self, directory: Path) -> None:
        self.store = Store(directory / "gitship.db")
        self.docker = ServersEngine()
        engine: Engine = self.docker  # type: ignore[assignment]
        addresses = Addresses(self.store, engine, IPv4Network("10.9.0.0/20"), self.store.server_id())
        self.room = services_of(Settings(data_dir=directory), self.store, engine, addresses)

    def app(self, name: str) -> App:
        return self.store.create_app(name)

    def service(self, name: str, engine: str = "postgres", by: Identity = GITSHIP) -> Service:
        """A new one, which runs."""
        made = self.room.new.record(name, engine, by)
        self.wait(self.room.tasks.begin(made, "create", by, lambda journal: self.room.lifecycle.create(made, journal)))
        return self.store.service(made.id)

    def link(self, service: Service, app: App, *, declared: str = "") -> ServiceLink:
        link = self.room.links.add(service, app, self.room.links.free_alias(service, app), GITSHIP, declared=declared)
        assert link.state is LinkState.ACTIVE
        return link

    def wait(self, task: ServiceTask) -> list[str]:
        """The task's lines. Raises what has ended it."""
        lines: list[str] = []
        self.room.tasks.follow(task, lines.append, self.room.tasks._gone)
        return lines
