"""What a push may cost: memory, CPU, and the order in which kept objects become visible."""

from __future__ import annotations

import os
import subprocess
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from gitship.git import git_process
from gitship.git.ingest import Ingest, choose
from gitship.git.ingest_dulwich import DulwichIngest
from gitship.git.ingest_git import GitIngest
from gitship.git.object_headers import BLOB, OFS_DELTA
from gitship.git.push_limits import ReceiveLimits, size
from gitship.git.quarantine import Quarantine
from gitship.git.repository import Repository
from tests.unit.git.raw import all_objects, blob, entry, pack, pack_of, push, small_push, wishes
from tests.waiting import wait_until

pytestmark = pytest.mark.clients
MAIN = "refs/heads/main"


def varint(number: int) -> bytes:
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*made, number])


def test_delta_that_makes_six_hundred_mebibytes_of_one_is_refused(repository: Repository, ingest: Ingest) -> None:
    tip, objects = small_push()
    base = entry(BLOB, bytes(1 << 20))
    bomb = varint(1 << 20) + varint(600 << 20) + b"\xc0\x10" * 600  # copy 1 MiB from offset 0, 600 times
    distance = len(base)
    offset = bytes([distance & 0x7F])
    while distance := distance >> 7:
        distance -= 1
        offset = bytes([distance & 0x7F | 0x80]) + offset
    made = entry(OFS_DELTA, bomb, before=offset)
    data = pack_of(*(entry(*item) for item in objects), base, made)
    assert len(data) < 8 << 10
    limits = ReceiveLimits(memory_bytes=256 << 20)
    answer = push(repository, ingest, wishes((None, tip, MAIN)) + data, limits=limits)
    assert "more memory than the 256 MiB that a push may use" in answer.refs[MAIN]
    assert (repository.refs(), all_objects(repository)) == ({}, set())


def test_pack_that_takes_too_much_time_is_refused(repository: Repository) -> None:
    tip, objects = small_push()
    said = wishes((None, tip, MAIN)) + pack(*objects)
    answer = push(repository, DulwichIngest(), said, limits=ReceiveLimits(cpu_s=0))
    assert "more than 0 s of CPU time" in answer.refs[MAIN]


def test_child_has_its_limits_before_it_gets_a_byte(tmp_path: Path) -> None:
    limits = ReceiveLimits(memory_bytes=300 << 20, cpu_s=7)
    process = git_process.start(["cat"], tmp_path, {}, stdin=subprocess.PIPE, limits=limits)
    try:
        rows = Path(f"/proc/{process.pid}/limits").read_text().splitlines()
        soft = {row[:26].strip(): row[26:].split()[0] for row in rows}
        assert (soft["Max cpu time"], soft["Max address space"]) == ("7", str(300 << 20))
    finally:
        assert process.stdin is not None
        process.stdin.close()
        git_process.end(process)


def test_child_that_takes_too_long_is_killed_with_all_it_started(tmp_path: Path) -> None:
    command = ["sh", "-c", "sleep 60 & echo $!; wait"]
    process = git_process.start(command, tmp_path, {}, stdin=subprocess.DEVNULL)
    assert process.stdout is not None
    grandchild = int(process.stdout.read(16))
    with pytest.raises(TimeoutError):
        git_process.finish(process, 0.1)
    assert process.returncode == -9
    wait_until(lambda: not running(grandchild))


def running(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def test_child_sees_nothing_of_this_servers_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", "/somewhere")
    monkeypatch.setenv("SECRET", "x")
    result = git_process.finish(git_process.start(["env"], tmp_path, {"EXTRA": "1"}, stdin=subprocess.DEVNULL), 10)
    names = {line.split("=")[0] for line in result.stdout.decode().splitlines()}
    assert "EXTRA" in names and not names & {"SECRET", "GIT_DIR", "HOME"}


def test_output_of_a_child_is_kept_up_to_a_bound(tmp_path: Path) -> None:
    command = ["sh", "-c", "head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2; exit 3"]
    result = git_process.finish(git_process.start(command, tmp_path, {}, stdin=subprocess.DEVNULL), 10)
    assert (result.code, len(result.stdout), len(result.stderr)) == (3, 64 << 10, 64 << 10)


def test_git_is_chosen_when_it_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert isinstance(choose(), GitIngest)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert isinstance(choose(), DulwichIngest)


def test_quarantine_moves_indexes_last_and_leaves_nothing(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved: list[str] = []
    replace, rename = Path.replace, Path.rename

    def replaced(self: Path, target: Path) -> Path:
        moved.append(self.name)
        return replace(self, target)

    def renamed(self: Path, target: Path) -> Path:
        moved.append(self.name)
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", replaced)
    monkeypatch.setattr(Path, "rename", renamed)
    with Quarantine(repository.objects) as quarantine:
        for name in ("pack/pack-1.idx", "pack/pack-1.pack", "pack/pack-1.rev", "pack/tmp_pack", "12/" + "3" * 38):
            (quarantine.path / name).parent.mkdir(exist_ok=True)
            (quarantine.path / name).write_text(name)
        quarantine.keep()
    assert moved == ["pack-1.pack", "pack-1.rev", "pack-1.idx", "12"]
    assert all_objects(repository) == {"pack/pack-1.idx", "pack/pack-1.pack", "pack/pack-1.rev", "12/" + "3" * 38}
    assert not list(repository.objects.glob("incoming-*"))


def test_loose_objects_join_those_that_are_there(repository: Repository) -> None:
    (repository.objects / "12").mkdir()
    (repository.objects / "12" / ("4" * 38)).touch()
    with Quarantine(repository.objects) as quarantine:
        for name in ("12/" + "3" * 38, "12/" + "4" * 38, "13/" + "5" * 38):
            (quarantine.path / name).parent.mkdir(exist_ok=True)
            (quarantine.path / name).write_text(name)
        quarantine.keep()
    assert all_objects(repository) == {"12/" + "3" * 38, "12/" + "4" * 38, "13/" + "5" * 38}


def test_kept_objects_reach_the_disk(repository: Repository, ingest: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: set[int] = set()
    fsync = os.fsync

    def noted(handle: int) -> None:
        flushed.add(os.fstat(handle).st_ino)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", noted)
    tip, objects = small_push()
    push(repository, ingest, wishes((None, tip, MAIN)) + pack(*objects))
    files = {(repository.objects / name).stat().st_ino for name in all_objects(repository)}
    wait_until(lambda: files <= flushed)
    assert len(files) == 3


def test_objects_are_not_visible_before_the_host_agreed(repository: Repository, ingest: Ingest) -> None:
    tip, objects = small_push()
    seen: list[set[str]] = []

    class Looks:
        def check(self, *_: object) -> dict[str, str]:
            seen.append({name for name in all_objects(repository) if not name.startswith("incoming-")})
            return {MAIN: "no"}

        def admitted(self) -> AbstractContextManager[None]:
            raise AssertionError

        def accept(self, *_: object) -> dict[str, str]:
            raise AssertionError

    answer = push(repository, ingest, wishes((None, tip, MAIN)) + pack(*objects), host=Looks())
    assert answer.refs == {MAIN: "no"}
    assert seen == [set()]
    assert all_objects(repository) == set()


def test_many_small_blobs_make_a_pack_and_few_make_loose_objects(repository: Repository, ingest: Ingest) -> None:
    tip, objects = small_push()
    push(repository, ingest, wishes((None, tip, MAIN)) + pack(*objects))
    assert not list(repository.objects.glob("pack/*"))
    other, more = small_push("other", [tip])
    padding = [blob(b"%d" % n) for n in range(150)]
    push(repository, ingest, wishes((tip, other, MAIN)) + pack(*more, *padding))
    assert {file.suffix for file in repository.objects.glob("pack/*")} - {".rev"} == {".idx", ".pack"}
    assert repository.commit(other).subject == "other"


def test_sizes_are_written_for_people() -> None:
    assert [size(n) for n in (300, 1536, 10 << 20, 3 << 29)] == ["300 bytes", "1.5 KiB", "10 MiB", "1.5 GiB"]
