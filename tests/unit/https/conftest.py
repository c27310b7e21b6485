"""A store with apps, and HTTPS on it whose haproxy and authority are made up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gitship.config import HttpsSettings, Settings
from gitship.events import Bus
from gitship.https.app_https import ServerHttps
from gitship.https.install_certificates import CertificateInstaller
from gitship.https.renewer import CertificateRenewer
from gitship.model import GITSHIP, App
from gitship.routing.gate_settings import gate_of
from gitship.store import Store
from tests.unit.memory.https import Curtain, TestAuthority, https_of
from tests.unit.memory.server import MemoryServer


@dataclass
class Place:
    store: Store
    settings: Settings
    tls: Curtain = field(default_factory=Curtain)
    authority: TestAuthority = field(default_factory=TestAuthority)
    bus: Bus = field(default_factory=Bus)
    said: list[str] = field(default_factory=list)
    wildcards: bool = False
    _showing: tuple[Settings, CertificateInstaller] | None = None

    @property
    def showing(self) -> CertificateInstaller:
        """Made anew when the settings change, as by a restart."""
        if self._showing is None or self._showing[0] is not self.settings:
            gates = MemoryServer(self.store, self.settings).gates
            self._showing = self.settings, CertificateInstaller(self.settings, self.store, self.tls, gates)
        return self._showing[1]

    @property
    def https(self) -> ServerHttps:
        """The rest is made anew each time."""
        return https_of(self.settings, self.store, self.showing, self.authority, wildcards=self.wildcards)

    @property
    def keeper(self) -> CertificateRenewer:
        return CertificateRenewer(self.settings, self.store, self.bus, self.showing, self.https, self.authority)

    @property
    def shop(self) -> App:
        return self.store.app("shop")

    def enable(self) -> None:
        self.https.enable(self.shop, None, self.said.append, GITSHIP)

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
