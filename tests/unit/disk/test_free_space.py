"""A disk that fills up: pushes are refused in time, and what must always work has a reserve."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from gitship.disk import reserve as reserves
from gitship.disk.free_space import FreeSpace
from gitship.errors import DeployError
from gitship.store import Store


class Disk:
    """1 GB, of which so much is free."""

    def __init__(self) -> None:
        self.free = 500 << 20

    def __call__(self, path: Path) -> Any:
        return shutil._ntuple_diskusage(1 << 30, (1 << 30) - self.free, self.free)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    made = Disk()
    monkeypatch.setattr("gitship.disk.reserve.shutil.disk_usage", made)
    return made


def test_too_little_room_is_refused_with_the_figures_and_the_way_out(tmp_path: Path, disk: Disk) -> None:
    mine = FreeSpace(tmp_path, 100 << 20)
    mine.ensure("a push")
    disk.free = 99 << 20
    with pytest.raises(DeployError, match=r"99 MB are free, a push needs 100 MB \(disk\.min_free\)") as refused:
        mine.ensure("a push")
    assert "server:cleanup --dry-run" in refused.value.hint and "releases:rollback" in refused.value.hint


def test_the_reserve_is_given_up_when_it_is_needed_and_made_again_when_there_is_room(
    tmp_path: Path, disk: Disk
) -> None:
    mine, reserve = FreeSpace(tmp_path, 0), tmp_path / reserves.RESERVE
    mine.restock()
    assert reserve.stat().st_blocks * 512 >= reserves.RESERVE_BYTES, "real blocks, not a hole"
    mine.look()
    assert reserve.exists()
    disk.free = reserves.LOW_BYTES - 1
    mine.look()
    assert not reserve.exists()
    mine.restock()
    assert not reserve.exists(), "there is no room for it yet"
    disk.free = 500 << 20
    mine.restock()
    assert reserve.exists()


def test_a_gitship_that_was_killed_knows_its_reserve_again(tmp_path: Path, disk: Disk) -> None:
    FreeSpace(tmp_path, 0).restock()
    disk.free = 0
    FreeSpace(tmp_path, 0).look()
    assert not (tmp_path / reserves.RESERVE).exists()


def test_the_store_looks_before_it_writes(tmp_path: Path) -> None:
    store, looks = Store(tmp_path / "gitship.db"), []
    store.before_writing = lambda: looks.append(1)
    store.apps()
    assert not looks
    with store.transaction():
        store.create_app("shop")
    assert looks == [1], "once a transaction"
    store.close()
