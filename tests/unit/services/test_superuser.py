"""The superuser's password: the server and the store agree on it, whatever ends its change half-way."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gitship.errors import GitshipError
from gitship.model import GITSHIP
from gitship.model.services import Service, ServiceTask
from gitship.operations.service_apps import LinkedApps
from gitship.operations.service_data import ServiceData
from gitship.operations.services import BackingServices
from tests.unit.memory.servers import Ran, Servers

ASKED = "ACL SETUSER default resetpass >"


class Asked(Ran):
    """A command that a Redis has been asked, which knows its own password."""

    def __init__(self, redis: Redis, container: str, env: Mapping[str, str]) -> None:
        super().__init__(b"")
        self._redis = redis
        self._volume = redis.volumes.get(container, "")
        self._said = ""
        self._known = env.get("REDISCLI_AUTH") in (None, redis.passwords.get(self._volume))

    def send(self, data: bytes) -> bool:
        self._said += data.decode()
        return True

    def exit_code(self) -> int:
        if not self._known:
            return 1
        if (fresh := re.search(rf"{ASKED}(\S+)", self._said)) and self._redis.obeys:
            self._redis.passwords[self._volume] = fresh[1]
        return 0 if self._redis.obeys else 1


class Redis(Servers):
    """A service `cache`. ``passwords`` are what each volume's server takes; a new one has that of its container."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.passwords: dict[str, str] = {}
        self.volumes: dict[str, str] = {}
        self.obeys = True
        create = self.docker.create

        def made(spec: Any) -> str:
            made = create(spec)
            [mount] = spec.mounts
            self.volumes[made] = mount.volume
            self.passwords.setdefault(mount.volume, spec.env["ROOT_PASSWORD"])
            return made

        def attach(container_id: str, command: Sequence[str], *, env: Mapping[str, str], **how: object) -> Ran:
            return Asked(self, container_id, env)

        self.docker.create = made  # type: ignore[method-assign]
        self.docker.attach_exec = attach  # type: ignore[method-assign, assignment]
        shared = cast(Any, SimpleNamespace(store=self.store, engine=self.docker, jobs=None))
        apps = LinkedApps(shared, cast(Any, None))
        self.services = BackingServices(shared, self.room, apps)
        self.data = ServiceData(shared, self.room, self.services, apps)
        self.made = self.service("cache", "redis")
        self.link(self.made, self.app("shop"))

    @property
    def cache(self) -> Service:
        return self.store.service(self.made.id)

    def agree(self) -> bool:
        return self.passwords[self.cache.volume] == self.cache.root_password


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    found = Redis(tmp_path)
    assert found.agree()
    yield found
    found.room.stop()
    found.store.close()


NEXT: dict[str, Callable[[Redis], ServiceTask | None]] = {
    "rotate": lambda redis: redis.services.rotate(redis.cache, GITSHIP),
    "restart": lambda redis: redis.services.restart(redis.cache, GITSHIP),
    "reconciler": lambda redis: reconciled(redis),
}


def reconciled(redis: Redis) -> None:
    failed: list[GitshipError] = []
    redis.room.repair.settle(list(redis.docker.list({})), failed)
    assert not failed


@pytest.mark.parametrize("then", NEXT)
@pytest.mark.parametrize("told", [True, False], ids=["told", "not-told"])
def test_a_change_that_was_ended_half_way_is_settled_by_whatever_comes_next(
    redis: Redis, then: str, told: bool
) -> None:
    change = redis.store.change_service

    def ended(service_id: int, **columns: Any) -> None:
        if "root_password" in columns:
            raise GitshipError("this server was killed")
        change(service_id, **columns)

    redis.store.change_service = ended  # type: ignore[method-assign]
    with pytest.raises(GitshipError, match="killed"):
        redis.wait(redis.services.rotate(redis.cache, GITSHIP))
    redis.store.change_service = change  # type: ignore[method-assign]
    assert not redis.agree()
    if not told:
        redis.passwords[redis.cache.volume] = redis.cache.root_password

    task = NEXT[then](redis)
    if task is not None:
        redis.wait(task)
    assert redis.agree()
    redis.wait(redis.services.rotate(redis.cache, GITSHIP))
    assert redis.agree()


def test_data_that_are_kept_after_a_change_that_was_ended_half_way_can_be_gone_back_to(redis: Redis) -> None:
    before = redis.cache.volume
    redis.store.change_service(redis.cache.id, next_root_password="fresh")
    redis.passwords[before] = "fresh"
    redis.wait(redis.data.load(redis.cache, iter([b"x"]), GITSHIP, redis.room.tasks._gone, replace=True))
    assert redis.agree() and redis.cache.next_root_password == ""
    redis.wait(redis.data.rollback(redis.cache, GITSHIP))
    assert redis.cache.volume == before and redis.agree()


def test_a_server_that_takes_no_new_password_keeps_its_own(redis: Redis) -> None:
    before = redis.cache.root_password
    redis.obeys = False
    with pytest.raises(GitshipError, match="exit code 1"):
        redis.wait(redis.services.rotate(redis.cache, GITSHIP))
    redis.obeys = True
    reconciled(redis)
    assert (redis.cache.root_password, redis.cache.next_root_password) == (before, "") and redis.agree()


def test_data_that_are_gone_back_to_have_the_password_of_their_time(redis: Redis) -> None:
    redis.wait(redis.data.load(redis.cache, iter([b"x"]), GITSHIP, redis.room.tasks._gone, replace=True))
    newer = redis.cache
    redis.wait(redis.services.rotate(redis.cache, GITSHIP))
    assert redis.agree()
    redis.wait(redis.data.rollback(redis.cache, GITSHIP))
    assert redis.cache.volume != newer.volume and redis.agree()
    redis.wait(redis.data.rollback(redis.cache, GITSHIP))
    assert redis.cache.volume == newer.volume and redis.agree()
