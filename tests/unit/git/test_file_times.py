"""The times of a build's files: no two contents ever have the same one at a path, whatever becomes of the record."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitship.errors import GitError
from gitship.git import file_times
from gitship.git.snapshot import TreeEntry
from tests.examples import examples

WHEN = 1_700_000_000
SECOND_NS = 10**9


def entries(files: Mapping[str, str]) -> list[TreeEntry]:
    """Plain files of these contents."""
    return [
        TreeEntry(path, 0o100644, content.encode().ljust(20, b"0").hex().encode()) for path, content in files.items()
    ]


def of(repository: Path, files: Mapping[str, str], when: int = WHEN) -> tuple[str, dict[str, int]]:
    made = file_times.of(repository, entries(files), when)
    return made.key, dict(zip(files, made.at_ns, strict=True))


def test_a_file_keeps_its_time_until_it_changes(tmp_path: Path) -> None:
    key, first = of(tmp_path, {"a": "1", "b": "1", "c": "1"})
    assert {at // SECOND_NS for at in first.values()} == {WHEN} and len(set(first.values())) == 1
    again, second = of(tmp_path, {"a": "1", "b": "2", "d": "1"}, WHEN + 60)
    assert again == key
    assert second["a"] == first["a"]
    assert second["b"] == second["d"] and second["b"] // SECOND_NS == WHEN + 60
    assert of(tmp_path, {"a": "1", "b": "2", "d": "1"}, WHEN + 90) == (key, second)


@pytest.mark.parametrize("when", [WHEN, WHEN - 1000, 0])
def test_times_go_forward_also_when_commits_do_not(tmp_path: Path, when: int) -> None:
    _, first = of(tmp_path, {"a": "1"})
    _, second = of(tmp_path, {"a": "2"}, when)
    assert second["a"] // SECOND_NS == first["a"] // SECOND_NS + 1


def test_a_commit_from_the_future_does_not_take_the_times_with_it(tmp_path: Path) -> None:
    _, first = of(tmp_path, {"a": "1"}, 1 << 40)
    assert first["a"] // SECOND_NS < WHEN * 2


def damages(data: bytes) -> Iterator[bytes]:
    yield b""
    yield data[:-1]
    yield data + b"\0"
    yield data[:70] + bytes((data[70] ^ 1,)) + data[71:]
    yield b"\xff" + data
    yield b"0" * 64 + data[64:]


def test_a_record_that_is_damaged_or_lost_counts_for_nothing(tmp_path: Path) -> None:
    key, _ = of(tmp_path, {"a": "1"})
    whole = (tmp_path / file_times.NAME).read_bytes()
    keys = {key}
    for damaged in damages(whole):
        (tmp_path / file_times.NAME).write_bytes(damaged)
        keys.add(of(tmp_path, {"a": "1"})[0])
    (tmp_path / file_times.NAME).unlink()
    keys.add(of(tmp_path, {"a": "1"})[0])
    assert len(keys) == len(list(damages(whole))) + 2


NAMES = ["a", "b", "a b", "new\nline", "not\udcffutf8", "ü"]
FILES = st.dictionaries(st.sampled_from(NAMES), st.sampled_from("123"), max_size=5)
STEP = st.tuples(FILES, st.integers(-2, 2), st.sampled_from(["", "", "", "lost", "damaged", "put back"]))


@examples(50)
@given(steps=st.lists(STEP, max_size=12))
def test_no_time_of_a_path_ever_stands_for_two_contents(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[dict[str, str], int, str]]
) -> None:
    repository = tmp_path_factory.mktemp("repository")
    record = repository / file_times.NAME
    meant: dict[tuple[str, str, int], str] = {}
    earlier: list[bytes] = []
    for files, later, between in steps:
        if between == "lost":
            record.unlink(missing_ok=True)
        elif between == "damaged" and record.exists():
            record.write_bytes(record.read_bytes()[:-1] + b"?")
        elif between == "put back" and earlier:
            record.write_bytes(earlier[len(earlier) // 2])
        key, at = of(repository, files, WHEN + later)
        for path, time_ns in at.items():
            assert meant.setdefault((key, path, time_ns), files[path]) == files[path]
        if record.exists():
            earlier.append(record.read_bytes())


def test_builds_that_begin_at_once_share_no_time(tmp_path: Path) -> None:
    of(tmp_path, {"a": "0"})
    found: list[tuple[str, dict[str, int]]] = []
    threads = [threading.Thread(target=lambda n=n: found.append(of(tmp_path, {"a": str(n)}))) for n in range(1, 17)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({key for key, _ in found}) == 1
    assert len({at["a"] // SECOND_NS for _, at in found}) == 16


KILLED = """
import os, pathlib, signal, sys
from gitship.git import file_times
from gitship.git.snapshot import TreeEntry
steps = iter(range(int(sys.argv[2])))
def trace(frame, event, arg):
    if frame.f_code.co_filename == file_times.__file__ and next(steps, None) is None:
        os.kill(os.getpid(), signal.SIGKILL)
    return trace
sys.settrace(trace)
file_times.of(pathlib.Path(sys.argv[1]), [TreeEntry("a", 0o100644, b"2" * 40), TreeEntry("b", 0o100644, b"3" * 40)], 1)
"""


@pytest.mark.clients
def test_a_killed_gitship_leaves_the_old_record_or_the_new_one(tmp_path: Path) -> None:
    ended = False
    for lines in range(20, 400, 4):
        repository = tmp_path / str(lines)
        repository.mkdir()
        key, first = of(repository, {"a": "1", "b": "1"})
        before = (repository / file_times.NAME).read_bytes()
        child = subprocess.run([sys.executable, "-c", KILLED, str(repository), str(lines)], timeout=60, check=False)
        ended = child.returncode == 0
        assert ended or child.returncode == -signal.SIGKILL
        after = (repository / file_times.NAME).read_bytes()
        assert after == before or not ended or after.endswith(b"b")
        again, second = of(repository, {"a": "4", "b": "1"})
        assert again == key and second["b"] >= first["b"] and second["a"] > first["a"]
        left = [name for name in os.listdir(repository) if name != file_times.NAME]
        assert all(name.endswith(".lock") for name in left)
        if ended:
            break
    assert ended


def test_a_disk_that_does_not_take_them_is_named(tmp_path: Path) -> None:
    (tmp_path / file_times.NAME).mkdir()
    with pytest.raises(GitError, match="the times of files cannot be kept"):
        of(tmp_path, {"a": "1"})


def test_the_record_is_the_servers_alone(tmp_path: Path) -> None:
    of(tmp_path, {"a": "1"})
    assert (tmp_path / file_times.NAME).stat().st_mode & 0o777 == 0o600
