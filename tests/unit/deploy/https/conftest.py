"""A store with apps, and HTTPS on it whose haproxy and authority are made up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gitship.config import HttpsSettings, Settings
from gitship.deploy.gates import gate_of
from gitship.deploy.https.keeper import Keeper
from gitship.deploy.https.operations import ServerHttps
from gitship.deploy.https.showing import Showing
from gitship.events import Bus
from gitship.model import App
from gitship.store import Store
from tests.unit.commands.https import Curtain, TestAuthority, https_of
from tests.unit.commands.operations import StoreGates


@dataclass
class Place:
    store: Store
    settings: Settings
    tls: Curtain = field(default_factory=Curtain)
    authority: TestAuthority = field(default_factory=TestAuthority)
    bus: Bus = field(default_factory=Bus)
    said: list[str] = field(default_factory=list)
    wildcards: bool = False

    @property
    def https(self) -> ServerHttps:
        """Made anew each time, as after a restart."""
        gates = StoreGates(self.store)
        return https_of(self.settings, self.store, self.tls, gates, self.authority, wildcards=self.wildcards)

    @property
    def keeper(self) -> Keeper:
        showing = Showing(self.settings, self.store, self.tls, StoreGates(self.store))
        return Keeper(self.settings, self.store, self.bus, showing, self.https, self.authority)

    @property
    def shop(self) -> App:
        return self.store.app("shop")

    def enable(self) -> None:
        self.https.enable(self.shop, None, self.said.append)

    def sent_on(self) -> tuple[str, ...]:
        """Hosts at which http leads to https."""
        gate = gate_of(self.store, self.shop.id).https
        return gate.hosts if gate else ()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    settings = Settings(data_dir=tmp_path, domain="localhost", https=HttpsSettings(check_dns=False))
    store = Store(settings.database)
    store.create_app("shop")
    yield Place(store, settings)
    store.close()
