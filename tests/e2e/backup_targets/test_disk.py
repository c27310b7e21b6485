"""Backups on a disk of their own: full, read-only, or not mounted."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitship.backup.directory_target import MARKER
from gitship.backup.targets import BackupTarget, TargetDefinition, target_of
from gitship.errors import GitshipError

pytestmark = [
    pytest.mark.clients, pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root"),
]  # fmt: skip


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """4 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "gitship-test", place], check=True, timeout=10)
    yield place
    subprocess.run(["umount", place], check=False, timeout=10)


@pytest.fixture
def target(disk: Path) -> BackupTarget:
    made = target_of(TargetDefinition.parse("disk", [str(disk)], ""))
    made.check()
    return made


def test_a_full_disk_is_named_and_the_next_try_works(disk: Path, target: BackupTarget) -> None:
    with pytest.raises(GitshipError, match="No space left on device") as raised:
        target.put("db/one.age", [bytes(1 << 20)] * 8, threading.Event())
    assert "free space" in raised.value.hint
    assert [path.name for path in disk.rglob("*") if path.is_file()] == [MARKER]
    target.put("db/one.age", [bytes(1 << 20)] * 2, threading.Event())
    assert [found.bytes for found in target.listed("")] == [2 << 20]


def test_a_disk_that_became_read_only_is_named(disk: Path, target: BackupTarget) -> None:
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True, timeout=10)
    with pytest.raises(GitshipError, match="Read-only file system") as raised:
        target.check()
    assert "mounted read-only" in raised.value.hint


def test_nothing_is_written_where_the_disk_was(disk: Path, target: BackupTarget) -> None:
    target.put("db/one.age", [b"x"], threading.Event())
    subprocess.run(["umount", disk], check=True, timeout=10)
    for call in (
        lambda: target.put("db/two.age", [b"x"], threading.Event()),
        lambda: target.listed(""),
        lambda: target.remove("db/one.age"),
        lambda: target.check(prepare=False),
    ):
        with pytest.raises(GitshipError, match="is not the directory of target disk") as raised:
            call()
        assert "mount its disk" in raised.value.hint
    assert list(disk.iterdir()) == []
