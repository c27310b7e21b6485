"""Data that a client sends: the linked apps do not wait for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gitship.errors import GitshipError
from gitship.model import GITSHIP, App, Identity, Role
from gitship.model.services import Service
from gitship.operations.service_apps import LinkedApps
from gitship.operations.service_data import ServiceData
from gitship.operations.services import BackingServices
from tests.unit.memory.servers import Servers


class Bench(Servers):
    """A service that is linked to an app."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        shared = cast(Any, SimpleNamespace(store=self.store, engine=self.docker, jobs=None))
        apps = LinkedApps(shared, cast(Any, None))  # the app has no visitors
        self.data = ServiceData(shared, self.room, BackingServices(shared, self.room, apps), apps)
        self.shop: App = self.app("shop")
        self.db: Service = self.service("db")
        self.link(self.db, self.shop)

    def reaches(self) -> bool:
        """Whether the app's containers reach the service."""
        return bool(self.docker.inspect(self.store.service(self.db.id).container).networks)

    def load(self, chunks: Iterator[bytes], by: Identity = GITSHIP, *, replace: bool = True) -> None:
        self.wait(self.data.load(self.db, chunks, by, threading.Event(), replace=replace))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    found = Bench(tmp_path)
    yield found
    found.room.stop()
    found.store.close()


def test_an_app_has_its_service_until_a_dump_has_been_read_whole(bench: Bench) -> None:
    seen = []

    def slowly() -> Iterator[bytes]:
        for _ in range(3):
            seen.append(bench.reaches())
            yield b"x" * (1 << 20)
        seen.append(bench.reaches())

    bench.load(slowly())

    assert seen == [True] * 4
    assert bench.reaches()
    assert bench.store.service(bench.db.id).container != bench.db.container


def test_a_right_that_is_lost_while_a_dump_is_sent_leaves_the_data(bench: Bench) -> None:
    key = bench.store.add_key("ci", "SHA256:ci", "ssh-ed25519 AAAA ci", Role.DEPLOYER)

    def sent() -> Iterator[bytes]:
        yield b"x"
        bench.store.remove_key(key.id)

    with pytest.raises(GitshipError, match="the key 'ci' was removed"):
        bench.load(sent(), Identity("ci", Role.DEPLOYER, key_id=key.id))

    assert bench.store.service(bench.db.id).volume == bench.db.volume
    assert bench.reaches()


def test_what_an_app_writes_while_a_dump_is_sent_is_not_replaced_unasked(bench: Bench) -> None:
    def sent() -> Iterator[bytes]:
        yield b"x"
        bench.docker.counted = b"notes\t1\n"

    with pytest.raises(GitshipError, match="db has data already"):
        bench.load(sent(), replace=False)

    assert bench.store.service(bench.db.id).volume == bench.db.volume
    assert bench.reaches()
