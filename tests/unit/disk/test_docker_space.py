"""Docker's disk fills up: its reserve goes before Docker needs it, and comes again. On a real disk: tests/e2e."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from gitship.disk.docker_space import DockerSpace, ensure_for_images
from gitship.disk.free_space import FreeSpace
from gitship.disk.reserve import LOW_BYTES, RESERVE, RESERVE_BYTES
from gitship.engine.errors import refused
from gitship.engine.image_references import parse
from gitship.engine.interface import NoSpace, ReserveSpace
from gitship.engine.pull import failed
from gitship.engine.retry_when_full import NoReserveSpace, needs_room
from gitship.errors import DeployError, EngineError
from tests.unit.memory.engine import MemoryEngine


class Docker(MemoryEngine):
    """99 MB are free."""

    def free_bytes(self) -> int:
        return 99 << 20


class Images:
    """The reserve in Docker."""

    def __init__(self) -> None:
        self.bytes = 0
        self.down = False
        self.times = 1

    def there(self) -> bool:
        if self.down:
            raise EngineError("Docker does not answer", "start it")
        return self.bytes > 0

    def takes(self, size_bytes: int) -> int:
        return size_bytes * self.times

    def make(self, size_bytes: int) -> None:
        self.bytes = size_bytes

    def drop(self) -> None:
        self.bytes = 0


class Disks:
    """Two, of 1 GB, with so much free on each."""

    def __init__(self) -> None:
        self.free = 500 << 20
        self.full: Path | None = None

    def usage(self, path: Path) -> Any:
        free = 0 if path == self.full else self.free
        return shutil._ntuple_diskusage(1 << 30, (1 << 30) - free, free)


@pytest.fixture
def disks(monkeypatch: pytest.MonkeyPatch) -> Disks:
    made = Disks()
    monkeypatch.setattr("gitship.disk.reserve.shutil.disk_usage", made.usage)
    monkeypatch.setattr("gitship.disk.docker_space.same_disk", lambda one, other: False)
    return made


def test_a_reserve_on_dockers_disk_goes_when_it_is_needed_and_comes_again(disks: Disks, tmp_path: Path) -> None:
    images = Images()
    mine = DockerSpace(lambda: tmp_path, images, FreeSpace(tmp_path, 0).reserve)
    mine.restock()
    assert images.bytes == RESERVE_BYTES
    mine.look()
    assert images.bytes
    disks.free = LOW_BYTES - 1
    mine.look()
    assert not images.bytes
    assert not mine.give_up(), "there is nothing more to give"
    disks.free = 500 << 20
    mine.restock()
    assert images.bytes and mine.give_up() and not images.bytes


def test_one_that_somebody_else_has_removed_comes_again_and_is_not_given_up_twice(disks: Disks, tmp_path: Path) -> None:
    images = Images()
    mine = DockerSpace(lambda: tmp_path, images, FreeSpace(tmp_path, 0).reserve)
    mine.restock()
    images.drop()
    assert not mine.give_up()
    mine.restock()
    images.drop()
    mine.restock()
    assert images.bytes


def test_where_it_takes_twice_its_size_three_times_must_be_free(disks: Disks, tmp_path: Path) -> None:
    images = Images()
    mine = DockerSpace(lambda: tmp_path, images, FreeSpace(tmp_path, 0).reserve)
    disks.free = 2 * RESERVE_BYTES
    images.times = 2
    mine.restock()
    assert not images.bytes, "it would leave nothing"
    disks.free = 3 * RESERVE_BYTES
    mine.restock()
    assert images.bytes == RESERVE_BYTES
    images.drop()
    images.times = 1
    disks.free = 2 * RESERVE_BYTES
    mine.restock()
    assert images.bytes == RESERVE_BYTES


def test_a_docker_that_was_led_to_another_disk_has_its_reserve_there(disks: Disks, tmp_path: Path) -> None:
    images, places = Images(), [tmp_path]
    mine = DockerSpace(lambda: places[-1], images, FreeSpace(tmp_path, 0).reserve)
    mine.look()
    places.append(tmp_path / "other")
    places[-1].mkdir()
    disks.full = places[-1]
    images.make(1)
    mine.look()
    assert not images.bytes


def test_a_gitship_that_was_killed_knows_its_reserve_again(disks: Disks, tmp_path: Path) -> None:
    images = Images()
    images.make(1)
    assert DockerSpace(lambda: tmp_path, images, FreeSpace(tmp_path, 0).reserve).give_up()


def test_a_docker_that_does_not_answer_is_asked_again_later(disks: Disks, tmp_path: Path) -> None:
    images = Images()
    mine = DockerSpace(lambda: tmp_path, images, FreeSpace(tmp_path, 0).reserve)
    mine.restock()
    images.down, disks.free = True, 0
    mine.look()
    mine.restock()
    assert not mine.give_up()
    images.down = False
    assert mine.give_up()


def test_on_one_disk_there_is_one_reserve_and_it_is_dockers_too(tmp_path: Path) -> None:
    images, data = Images(), FreeSpace(tmp_path, 0).reserve
    data.restock()
    mine = DockerSpace(lambda: tmp_path, images, data)
    mine.restock()
    assert not images.bytes
    assert mine.give_up() and not (tmp_path / RESERVE).exists()


@pytest.mark.parametrize("place", [None, Path("/nowhere/at/all")])
def test_where_dockers_disk_is_another_machines_there_is_none(place: Path | None, disks: Disks, tmp_path: Path) -> None:
    images = Images()
    mine = DockerSpace(lambda: place, images, FreeSpace(tmp_path, 0).reserve)
    mine.restock()
    mine.look()
    assert not mine.give_up() and not images.bytes


def test_builds_and_pulls_are_refused_with_the_figures_and_the_way_out() -> None:
    engine = Docker()
    ensure_for_images(engine, 99 << 20, "a pull")
    with pytest.raises(
        DeployError, match="only 99 MB are free where Docker keeps its images, a pull needs 100 MB"
    ) as no:
        ensure_for_images(engine, 100 << 20, "a pull")
    assert "server:cleanup --build-cache" in no.value.hint and "releases:rollback" in no.value.hint


class Full:
    """Refuses until something was given up."""

    def __init__(self, gives: int) -> None:
        self.spare: ReserveSpace = self
        self.gives = gives
        self.said: list[str] = []

    def look(self) -> None:
        self.said.append("look")

    def give_up(self) -> bool:
        self.gives -= 1
        return self.gives >= 0

    @needs_room
    def create(self, name: str) -> str:
        self.said.append(name)
        if self.gives > 0 or len(self.said) < 3:
            raise refused("create it", "mkdir /x: no space left on device")
        return name


def test_a_call_that_found_no_room_is_done_once_more_when_some_was_made() -> None:
    full = Full(gives=1)
    assert full.create("web") == "web"
    assert full.said == ["look", "web", "web"]
    with pytest.raises(NoSpace, match="its disk is full") as no:
        Full(gives=0).create("web")
    assert "server:cleanup --build-cache" in no.value.hint
    assert not NoReserveSpace().give_up()


def test_a_pull_that_fills_the_disk_says_so() -> None:
    error = failed(parse("shop:1"), "failed to register layer: write /x: no space left on device")
    assert "Docker's disk is full" in error.message and "server:cleanup --build-cache" in error.hint
