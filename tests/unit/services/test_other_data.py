"""Other data or another major in the place of a service's own: what does not start leaves what ran before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gitship.errors import EngineError, GitshipError, ServiceError
from gitship.model import GITSHIP
from gitship.model.services import Service, VolumeUse
from tests.unit.services.test_service_data import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    found = Bench(tmp_path)
    yield found
    found.room.stop()
    found.store.close()


def breaks(bench: Bench, nth: int) -> None:
    """The nth container that is started from now on does not."""
    started: list[object] = []

    def start(container_id: object) -> None:
        started.append(container_id)
        if len(started) == nth:
            raise EngineError("it cannot start")

    bench.docker.before["start"] = start


def runs(bench: Bench, service: Service) -> bool:
    now = bench.store.service(service.id)
    return [(one.id, one.status) for one in bench.room.containers.all(now)] == [(now.container, "running")]


def test_a_rollback_that_does_not_start_goes_on_with_what_ran_before(bench: Bench) -> None:
    bench.load(iter([b"x"]))
    now = bench.store.service(bench.db.id)
    [kept] = bench.room.volumes.kept(now)
    breaks(bench, 1)
    with pytest.raises(GitshipError, match="it cannot start"):
        bench.wait(bench.data.rollback(now, GITSHIP))
    assert bench.store.service(now.id).volume == now.volume
    assert runs(bench, now) and bench.reaches()
    assert bench.room.volumes.kept(now) == [kept]

    bench.wait(bench.data.rollback(now, GITSHIP))
    assert bench.store.service(now.id).volume == bench.db.volume


def test_what_keeps_a_server_beside_from_ending_hides_no_reason_and_is_no_reason(bench: Bench) -> None:
    def full(container_id: object) -> None:
        raise EngineError("its disk is full")

    for call in ("leave_down", "stop"):
        bench.docker.before[call] = full
        with pytest.raises(GitshipError, match="the dump is broken"):
            bench.load(broken())
        del bench.docker.before[call]
        assert bench.store.service(bench.db.id).volume == bench.db.volume and bench.reaches()
        bench.room.repair.settle(list(bench.docker.list({})), [])
        assert runs(bench, bench.db)
    bench.docker.before["leave_down"] = full
    bench.load(iter([b"x"]))


def test_a_server_that_ended_while_it_was_filled_is_the_reason(bench: Bench) -> None:
    def out_of_memory() -> Iterator[bytes]:
        yield b"x"
        beside = bench.docker.inspect(list(bench.docker.containers)[-1])
        bench.docker.containers[beside.id] = replace(beside, status="exited", oom_killed=True)
        raise ServiceError("the server closed the connection unexpectedly")

    with pytest.raises(GitshipError, match="postgres was out of memory: give it more"):
        bench.load(out_of_memory())


def broken() -> Iterator[bytes]:
    yield b"x"
    raise GitshipError("the dump is broken")


@pytest.fixture
def cache(bench: Bench) -> Service:
    made = bench.room.new.record("cache", "valkey:8", GITSHIP)
    bench.wait(
        bench.room.tasks.begin(made, "create", GITSHIP, lambda journal: bench.room.lifecycle.create(made, journal))
    )
    return bench.store.service(made.id)


def test_a_newer_major_that_reads_the_same_files_gets_a_copy_of_them(bench: Bench, cache: Service) -> None:
    content = bench.docker.volumes.content[cache.volume]
    lines = bench.wait(bench.data.upgrade(cache, "9", GITSHIP))
    now = bench.store.service(cache.id)
    assert (now.version, now.volume != cache.volume) == ("9", True)
    assert bench.docker.volumes.content[now.volume] == content
    assert any("the data of 8 are kept for 7 days" in line for line in lines)
    assert runs(bench, now)
    bench.wait(bench.data.rollback(now, GITSHIP))
    assert (bench.store.service(cache.id).version, bench.store.service(cache.id).volume) == ("8", cache.volume)


@pytest.mark.parametrize("disk_full", [True, False])
def test_one_that_does_not_start_leaves_the_data_that_the_one_before_reads(
    bench: Bench, cache: Service, disk_full: bool
) -> None:
    bench.docker.volumes.broken = disk_full
    if not disk_full:
        breaks(bench, 1)
    with pytest.raises(GitshipError, match=r"no space left|cannot start"):
        bench.wait(bench.data.upgrade(cache, "9", GITSHIP))
    now = bench.store.service(cache.id)
    assert (now.version, now.volume) == ("8", cache.volume)
    assert runs(bench, now)
    assert [volume.use for volume in bench.store.service_volumes(cache.id)] == [VolumeUse.LIVE]

    bench.docker.volumes.broken = False
    bench.wait(bench.data.upgrade(cache, "9", GITSHIP))
    assert bench.store.service(cache.id).version == "9"
