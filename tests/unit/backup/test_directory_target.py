"""Backups in a directory: whole or not there, and never in the empty mount point of a disk that is gone."""

from __future__ import annotations

import hashlib
import shutil
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitship.backup.directory_target import MARKER, DirectoryTarget
from gitship.backup.targets import BackupTarget, TargetDefinition, target_of
from gitship.containers.attach_client import ClientLeft
from gitship.errors import GitshipError, NotFound


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "backups"


@pytest.fixture
def target(root: Path) -> BackupTarget:
    made = target_of(TargetDefinition.parse("disk", [str(root)], ""))
    made.check()
    return made


def content(target: BackupTarget, key: str) -> bytes:
    with target.read(key) as chunks:
        return b"".join(chunks)


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()} - {MARKER}


def test_is_put_listed_read_and_removed(target: BackupTarget, root: Path) -> None:
    written = target.put("db/one.age", [b"a" * 10, b"", b"b" * 5], threading.Event())
    target.put("db/two.age", [], threading.Event())
    target.put("db2.age", [b"x"], threading.Event())
    assert (written.bytes, written.sha256) == (15, hashlib.sha256(b"a" * 10 + b"b" * 5).hexdigest())
    assert [(found.key, found.bytes) for found in target.listed("db")] == [
        ("db/one.age", 15),
        ("db/two.age", 0),
        ("db2.age", 1),
    ]
    assert [(found.key, found.sha256) for found in target.listed("db/o")] == [("db/one.age", written.sha256)]
    assert content(target, "db/one.age") == b"a" * 10 + b"b" * 5
    target.remove("db/one.age")
    target.remove("db/one.age")
    assert files(root) == {"db/two.age", "db/two.age.sha256", "db2.age", "db2.age.sha256"}
    with pytest.raises(NotFound, match=r"no db/one\.age"):
        content(target, "db/one.age")


def test_nobody_else_may_read(target: BackupTarget, root: Path) -> None:
    target.put("db/one.age", [b"a"], threading.Event())
    modes = [stat.S_IMODE(path.stat().st_mode) for path in root.rglob("*") if path.name != MARKER]
    assert modes and not [mode for mode in modes if mode & 0o077]


def test_is_invisible_until_it_is_whole(target: BackupTarget, root: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"half"
        assert target.listed("") == []
        assert not (root / "db/one.age").exists()
        yield b"whole"

    target.put("db/one.age", chunks(), threading.Event())
    assert content(target, "db/one.age") == b"halfwhole"


@pytest.mark.parametrize("error", [RuntimeError("the dump died"), OSError(5, "of the source")])
def test_leaves_nothing_of_a_stream_that_fails(target: BackupTarget, root: Path, error: Exception) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"half"
        raise error

    with pytest.raises(type(error)) as raised:
        target.put("db/one.age", chunks(), threading.Event())
    assert raised.value is error
    assert files(root) == set()


def test_what_was_there_stays_when_its_successor_fails(target: BackupTarget) -> None:
    target.put("db/one.age", [b"old"], threading.Event())
    gone = threading.Event()
    gone.set()
    with pytest.raises(ClientLeft):
        target.put("db/one.age", [b"new"], gone)
    assert content(target, "db/one.age") == b"old"
    assert [found.sha256 for found in target.listed("")] == [hashlib.sha256(b"old").hexdigest()]


def test_a_source_that_just_stops_when_gone_is_set_is_no_backup(target: BackupTarget, root: Path) -> None:
    gone = threading.Event()

    def chunks() -> Iterator[bytes]:
        yield b"half"
        gone.set()

    with pytest.raises(ClientLeft):
        target.put("db/one.age", chunks(), gone)
    assert files(root) == set()


def test_removes_what_a_killed_gitship_left_but_not_what_is_being_written(target: BackupTarget, root: Path) -> None:
    (root / "db").mkdir()
    left = root / "db" / ".gitship-unfinished-dead"
    left.write_bytes(b"half")

    def chunks() -> Iterator[bytes]:
        yield b"first"
        assert not left.exists()
        target.put("db/other.age", [b"x"], threading.Event())
        yield b"second"

    target.put("db/one.age", chunks(), threading.Event())
    assert content(target, "db/one.age") == b"firstsecond"


def test_writes_nothing_into_an_empty_mount_point(target: BackupTarget, root: Path) -> None:
    (root / MARKER).unlink()
    with pytest.raises(GitshipError, match=f"has no {MARKER}") as raised:
        target.put("db/one.age", [b"x"], threading.Event())
    assert "mount its disk" in raised.value.hint
    with pytest.raises(GitshipError, match=f"has no {MARKER}"):
        target.check(prepare=False)
    with pytest.raises(GitshipError, match=f"has no {MARKER}"):
        target.listed("")
    assert list(root.iterdir()) == []


def test_a_disk_that_goes_during_a_backup_is_an_error(target: BackupTarget, root: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"x"
        (root / MARKER).unlink()

    with pytest.raises(GitshipError, match=f"has no {MARKER}"):
        target.put("db/one.age", chunks(), threading.Event())
    assert files(root) == set()


def test_check_names_what_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(GitshipError, match=r"cannot make .*file/backups: Not a directory"):
        target_of(TargetDefinition.parse("disk", [str(tmp_path / "file/backups")], "")).check()


def test_sidecars_are_for_sha256sum(target: BackupTarget, root: Path) -> None:
    target.put("db/one.age", [b"abc"], threading.Event())
    assert (root / "db/one.age.sha256").read_text() == f"{hashlib.sha256(b'abc').hexdigest()}  one.age\n"


def test_an_object_without_its_hash_is_listed_without(target: BackupTarget, root: Path) -> None:
    target.put("db/one.age", [b"abc"], threading.Event())
    (root / "db/one.age.sha256").unlink()
    assert [(found.key, found.sha256) for found in target.listed("")] == [("db/one.age", None)]
    shutil.rmtree(root / "db")
    assert target.listed("") == []


def test_is_a_backup_target() -> None:
    target: BackupTarget = DirectoryTarget(TargetDefinition.parse("disk", ["/srv/backups"], ""))
    assert not target.encrypts
