"""What is done now and then, by itself."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitship.config import DiskSettings, Settings
from gitship.disk.docker_space import DockerSpace
from gitship.disk.free_space import FreeSpace
from gitship.disk.reserve import RESERVE
from gitship.errors import EngineError
from gitship.operations.upkeep import Upkeep
from gitship.store.database_copies import DAILY
from tests.unit.operations.test_cleanup import Server, log
from tests.waiting import wait_until


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    yield made
    made.store.close()


def upkeep(server: Server, *, min_free: int = 0, **disk: int) -> Upkeep:
    settings = Settings(data_dir=server.settings.data_dir, disk=DiskSettings(**disk))
    room = FreeSpace(settings.data_dir, min_free)
    docker_room = DockerSpace(server.engine.image_root, server.images.ballast, room.reserve)
    return Upkeep(settings, server.store, server.engine, room, docker_room, server.cleanup)


def test_the_first_look_makes_the_reserve_and_the_daily_copy(server: Server) -> None:
    started = upkeep(server)
    started.start()
    try:
        wait_until(server.store.copies.all, 20, "a copy is made")
    finally:
        started.stop()
    started.look()
    assert [copy.why for copy in server.store.copies.all()] == [DAILY], "one a day"
    assert (server.settings.data_dir / RESERVE).exists()


def test_no_copy_is_made_where_there_is_no_room(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        looking = upkeep(server, min_free=1 << 60)
        looking.look()
        looking.look()
    assert server.store.copies.all() == []
    assert caplog.text.count("disk.min_free") == 1, "told once: the log may be on that disk"


def test_tidying_takes_old_logs_and_a_part_that_fails_keeps_no_other(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    old = log(server, "shop/1.log", 31)
    fan = server.repositories.create("shop").objects / "ab"
    fan.mkdir()
    packed: list[str] = []

    def down(keep_bytes: int, unused_s: int = 0) -> int:
        raise EngineError("Docker does not answer", "start it")

    monkeypatch.setattr(server.images, "prune_cache", down)

    def pack() -> list[str]:
        packed.append("packed")
        return []

    monkeypatch.setattr(server.cleanup, "pack", pack)
    with caplog.at_level(logging.WARNING):
        upkeep(server).tidy()
    assert not old.exists() and packed == ["packed"] and "Docker does not answer" in caplog.text


def test_the_build_cache_is_kept_below_its_limit_and_0_is_none(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def prune(keep_bytes: int, unused_s: int = 0) -> int:
        asked.append(keep_bytes)
        return 0

    monkeypatch.setattr(server.images, "prune_cache", prune)
    upkeep(server, build_cache=5 << 30).tidy()
    upkeep(server, build_cache=0).tidy()
    assert asked == [5 << 30]
