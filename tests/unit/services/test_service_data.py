"""What becomes of a service's data: loaded, replaced, removed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gitship.errors import GitshipError
from gitship.model import GITSHIP, App, Identity, Role
from gitship.model.services import Service, ServiceLink, ServiceLogin
from gitship.operations import service_data
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
        self.services = BackingServices(shared, self.room, apps)
        self.data = ServiceData(shared, self.room, self.services, apps)
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


def test_who_stalls_while_sending_a_dump_does_not_keep_the_service(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_data, "GIVEN_S", 0.05)
    sends = threading.Event()

    def stalling() -> Iterator[bytes]:
        yield b"x"
        sends.wait()
        yield b"y"

    with pytest.raises(GitshipError, match=r"no data came for 0\.05 seconds"):
        bench.load(stalling())
    assert bench.store.service(bench.db.id).volume == bench.db.volume
    sends.set()

    monkeypatch.setattr(service_data, "GIVEN_S", 60)
    bench.load(iter([b"x", b"y"]))
    assert bench.store.service(bench.db.id).volume != bench.db.volume


def test_what_an_app_writes_while_a_dump_is_sent_is_not_replaced_unasked(bench: Bench) -> None:
    def sent() -> Iterator[bytes]:
        yield b"x"
        bench.docker.counted = b"notes\t1\n"

    with pytest.raises(GitshipError, match="db has data already"):
        bench.load(sent(), replace=False)

    assert bench.store.service(bench.db.id).volume == bench.db.volume
    assert bench.reaches()


def test_a_service_that_was_linked_after_all_is_not_destroyed(bench: Bench) -> None:
    cache = bench.service("cache")
    begin = bench.room.tasks.begin

    def linked_first(*asked: Any, **how: Any) -> Any:
        bench.link(cache, bench.app("blog"))  # by somebody whose task has just ended
        return begin(*asked, **how)

    bench.room.tasks.begin = linked_first  # type: ignore[method-assign]
    with pytest.raises(GitshipError, match="cache is linked to blog"):
        bench.wait(bench.services.destroy(cache, GITSHIP))
    assert bench.docker.inspect(cache.container).status == "running"


def test_a_service_is_not_gone_while_its_data_are_there(bench: Bench) -> None:
    cache = bench.service("cache")
    bench.docker.volumes.in_use.add(cache.volume)  # by a container that is not gitship's
    with pytest.raises(GitshipError, match="in use"):
        bench.wait(bench.services.destroy(cache, GITSHIP))
    assert [volume.name for volume in bench.store.service_volumes(cache.id)] == [cache.volume]

    bench.docker.volumes.in_use.clear()
    bench.room.repair.settle([], [])
    assert bench.store.service_volumes(cache.id) == []
    assert [service.name for service in bench.store.services()] == ["db"]


def test_an_image_that_nothing_needs_any_more_is_let_go(bench: Bench) -> None:
    tagged = bench.docker.images.tagged
    before = set(tagged)
    bench.docker.images.id = "sha256:newer"
    bench.store.change_service(bench.db.id, image_id="sha256:newer")  # as after an upgrade
    bench.load(iter([b"x"]))
    assert before < tagged, "the one before is held for what is kept"

    (kept,) = bench.room.volumes.kept(bench.db)
    bench.store.note_volume(replace(kept, until=0.0))
    bench.room.repair.settle(list(bench.docker.list({})), [])
    assert len(tagged) == 1 and tagged.isdisjoint(before)


def test_an_app_that_cannot_get_a_new_login_keeps_no_other_from_it(bench: Bench) -> None:
    blog = bench.app("blog")
    link = bench.link(bench.db, blog)
    shop = bench.store.service_links(service_id=bench.db.id, app_id=bench.shop.id)[0]
    create_login = bench.store.create_login

    def create(to: ServiceLink, *how: str) -> ServiceLogin:
        if to.id == shop.id:
            bench.store.delete_link(shop.id)  # as the end of the app does
        return create_login(to, *how)

    bench.store.create_login = create  # type: ignore[assignment, method-assign]
    with pytest.raises(GitshipError, match="shop: the link is gone"):
        bench.wait(bench.services.rotate(bench.db, GITSHIP))
    assert bench.store.service_link(link.id).login != link.login


def test_an_engine_without_logins_gets_no_new_passwords_and_says_so(bench: Bench) -> None:
    search = bench.service("search", "meilisearch")
    with pytest.raises(GitshipError, match="Meilisearch has no passwords that can be changed"):
        bench.services.rotate(search, GITSHIP)
    assert bench.store.service_tasks(search.id)[0].kind == "create"


def test_who_sends_a_dump_is_let_go_when_it_is_not_even_begun(bench: Bench) -> None:
    key = bench.store.add_key("ci", "SHA256:ci", "ssh-ed25519 AAAA ci", Role.DEPLOYER)
    begin = bench.room.tasks.begin

    def too_late(*asked: Any, **how: Any) -> Any:
        bench.store.remove_key(key.id)
        return begin(*asked, **how)

    bench.room.tasks.begin = too_late  # type: ignore[method-assign]
    with pytest.raises(GitshipError, match="the key 'ci' was removed"):
        bench.load(iter([b"x"]), Identity("ci", Role.DEPLOYER, key_id=key.id))
