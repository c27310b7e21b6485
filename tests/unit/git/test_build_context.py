"""The tar that a build gets: what is in it, that it is the same every time, and what is refused before it begins."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from gitship import tar
from gitship.errors import GitError
from gitship.git import build_context_checks, snapshot
from gitship.git.blobs import Blobs, DulwichBlobs, GitBlobs, choose
from gitship.git.build_context import TreeSummary, tree_summary
from tests.unit.git.commits import (
    SUBMODULE,
    TIME,
    Content,
    Object,
    bare,
    build_context,
    commit,
    executable,
    id_at,
    link,
    lose,
    tree,
)

LONG = "a" * 120 + "/" + "b" * 130 + ".txt"
Reader = Callable[[Path], Blobs]
RICH: Mapping[str | bytes, Content] = {
    "Dockerfile": b"FROM scratch\n",
    LONG: b"long",
    "empty": b"",
    "exactly": b"x" * 512,
    "grüße/ß.txt": b"umlaut",
    "link": link(b"src/app.py"),
    "long link": link(b"/" + b"x" * 150),
    "new\nline": b"n",
    "run.sh": executable(b"#!/bin/sh\n"),
    "src/app.py": b"print()\n" * 40_000,
    "src/deep/er/file": b"d",
    "vendor/lib": SUBMODULE,
    b"not\xff\xfeutf8": b"bytes",
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return bare(tmp_path / "shop.git")


@pytest.fixture(params=[GitBlobs, DulwichBlobs, choose])
def reader(request: pytest.FixtureRequest) -> Reader:
    made: Reader = request.param
    return made


def read(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape") as archive:
        return {member.name: member for member in archive}


def contents(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape") as archive:
        return {m.name: archive.extractfile(m).read() for m in archive if m.isreg()}  # type: ignore[union-attr]


@pytest.mark.clients
def test_holds_every_file_link_directory_and_submodule_of_the_commit(repository: Path, reader: Reader) -> None:
    data = b"".join(build_context(repository, commit(repository, RICH), reader=reader(repository)))
    members = read(data)
    assert {n: c for n, c in contents(data).items() if n != "src/app.py"} == {
        "Dockerfile": b"FROM scratch\n",
        LONG: b"long",
        "empty": b"",
        "exactly": b"x" * 512,
        "grüße/ß.txt": b"umlaut",
        "new\nline": b"n",
        "run.sh": b"#!/bin/sh\n",
        "src/deep/er/file": b"d",
        "not\udcff\udcfeutf8": b"bytes",
    }
    assert contents(data)["src/app.py"] == b"print()\n" * 40_000
    assert (members["link"].type, members["link"].linkname) == (tarfile.SYMTYPE, "src/app.py")
    assert members["long link"].linkname == "/" + "x" * 150
    assert members["vendor/lib"].isdir()
    assert {n for n, m in members.items() if m.isdir()} == {
        ".", "a" * 120, "grüße", "src", "src/deep", "src/deep/er", "vendor", "vendor/lib"
    }  # fmt: skip


def test_modes_owner_and_time_do_not_depend_on_the_machine(repository: Path) -> None:
    members = read(b"".join(build_context(repository, commit(repository, RICH))))
    assert {n: m.mode for n, m in members.items() if n in ("run.sh", "empty", "src", "link")} == {
        "run.sh": 0o755, "empty": 0o644, "src": 0o755, "link": 0o777
    }  # fmt: skip
    assert {(m.uid, m.gid, m.mtime) for m in members.values()} == {(0, 0, TIME)}


def test_a_directory_comes_before_what_it_holds(repository: Path) -> None:
    seen = {""}
    for name in read(b"".join(build_context(repository, commit(repository, RICH)))):
        assert name == "." or name.rpartition("/")[0] in seen
        seen.add(name)


@pytest.mark.parametrize("first", [LONG, "äöü.txt", b"\xff", "a\nb"], ids=["long", "non-ASCII", "bytes", "newline"])
@pytest.mark.clients
def test_begins_with_a_plain_directory_entry_whatever_file_comes_first(
    repository: Path, first: str | bytes, reader: Reader
) -> None:
    # BuildKit takes a stream that begins with an extension header for a Dockerfile.
    begin = b"".join(
        build_context(
            repository,
            commit(repository, {first: b"", "z/Dockerfile": b""}),
            dockerfile="z/Dockerfile",
            reader=reader(repository),
        )
    )[:512]
    assert begin[:3] == b"./\0"
    assert begin[156:157] == tarfile.DIRTYPE
    assert begin[136:148] == b"%011o\0" % TIME


@pytest.mark.parametrize("time", [0, 1, 8**11 - 1, 8**11, 2**62])
def test_begins_with_a_plain_entry_whatever_the_time_of_the_commit(repository: Path, time: int) -> None:
    data = b"".join(build_context(repository, commit(repository, {"Dockerfile": b""}, time=time)))
    assert data[156:157] == tarfile.DIRTYPE
    assert read(data)["Dockerfile"].mtime == min(time, tar.MAX_TIME_S)


@pytest.mark.clients
def test_is_the_same_every_time_and_by_every_reader(repository: Path, reader: Reader) -> None:
    made = commit(repository, RICH)
    streams = [b"".join(build_context(repository, made, reader=r)) for r in (None, None, reader(repository))]
    assert streams[0] == streams[1] == streams[2]


def test_works_without_git(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = commit(repository, RICH)
    by_git = b"".join(build_context(repository, made))
    monkeypatch.setenv("PATH", "/nonexistent")
    assert b"".join(build_context(repository, made)) == by_git
    assert tree_summary(repository, made).files == len(RICH) - 1


@pytest.mark.clients
def test_has_the_names_and_contents_that_git_archive_has(repository: Path) -> None:
    made = commit(repository, RICH)
    command = ["git", "archive", "--format=tar", made]
    archived = subprocess.run(command, cwd=repository, check=True, capture_output=True, timeout=30).stdout
    data = b"".join(build_context(repository, made))
    assert contents(data) == contents(archived)
    ours = {n: (m.type, m.linkname, m.mtime, m.mode & 0o100) for n, m in read(data).items() if n != "."}
    assert ours == {n: (m.type, m.linkname, m.mtime, m.mode & 0o100) for n, m in read(archived).items()}


@pytest.mark.parametrize(
    ("path", "size"), [("plain", 7), ("n" * 100, 0), ("n" * 101, 0), ("ü", 1), ("big", 8**11 - 1), ("huge", 8**11)]
)
def test_headers_are_those_of_tarfile(path: str, size: int) -> None:
    info = tarfile.TarInfo(path)
    info.mode, info.mtime, info.size = 0o755, TIME, size
    assert tar.file(path, size, 0o755, TIME) == info.tobuf(tarfile.PAX_FORMAT)
    info.size = 0
    info.type = tarfile.DIRTYPE
    assert tar.directory(path, when=TIME) == info.tobuf(tarfile.PAX_FORMAT)
    info = tarfile.TarInfo("link")
    info.type, info.mode, info.mtime, info.linkname = tarfile.SYMTYPE, 0o777, TIME, path
    assert tar.symlink("link", path, TIME) == info.tobuf(tarfile.PAX_FORMAT)


def test_a_subdirectory_can_be_the_context(repository: Path) -> None:
    made = commit(repository, {"api/Dockerfile": b"", "api/src/a": b"1", "web/b": b"", "Dockerfile": b""})
    assert list(read(b"".join(build_context(repository, made, subdirectory="./api/")))) == [
        ".",
        "Dockerfile",
        "src",
        "src/a",
    ]


def test_a_missing_subdirectory_is_named_with_what_there_is(repository: Path) -> None:
    made = commit(repository, {"api/Dockerfile": b"", "README": b""})
    with pytest.raises(GitError) as caught:
        build_context(repository, made, subdirectory="apo")
    assert caught.value.message == "the commit has no directory 'apo'"
    assert caught.value.hint == "at the top it has: README, api/"
    with pytest.raises(GitError, match="no directory 'README'"):
        build_context(repository, made, subdirectory="README")


@pytest.mark.parametrize("path", ["..", "../x", "/etc", "a/../../x", "a\0b"])
def test_paths_that_lead_out_of_the_commit_are_refused(repository: Path, path: str) -> None:
    made = commit(repository, {"Dockerfile": b""})
    with pytest.raises(GitError, match="is outside the repository"):
        build_context(repository, made, subdirectory=path)
    with pytest.raises(GitError, match="is outside the repository"):
        build_context(repository, made, dockerfile=path)


@pytest.mark.parametrize(
    "name",
    [b".git", b".GIT", b"git~1", b".git ", ".g\u200cit".encode(), b"..", b".", b"a/b", b".git::$INDEX_ALLOCATION"],
)
def test_dangerous_names_are_refused(repository: Path, name: bytes, reader: Reader) -> None:
    made = commit(repository, {"Dockerfile": b"", "deep/file": b""})
    blob = id_at(repository, made, "deep/file")
    evil = Object(0o040000, tree(repository, {name: (0o100644, blob)}))
    with pytest.raises(GitError, match="dangerous name 'deep/"):
        build_context(repository, commit(repository, {"Dockerfile": b"", "deep": evil}), reader=reader(repository))


def test_names_that_linux_cannot_store_are_refused(repository: Path) -> None:
    with pytest.raises(GitError, match="name is too long"):
        build_context(repository, commit(repository, {"Dockerfile": b"", "n" * 256: b""}))
    with pytest.raises(GitError, match="name is too long"):
        build_context(repository, commit(repository, {"Dockerfile": b"", "/".join(["n" * 250] * 17): b""}))
    fits = "/".join(["n" * 250] * 16)
    assert fits in read(b"".join(build_context(repository, commit(repository, {"Dockerfile": b"", fits: b""}))))


def test_an_entry_that_is_neither_file_link_nor_directory_is_refused(repository: Path) -> None:
    made = commit(repository, {"Dockerfile": b"", "x": b""})
    device = Object(0o020666, id_at(repository, made, "x"))
    with pytest.raises(GitError, match="'x' is neither file, link nor directory"):
        build_context(repository, commit(repository, {"Dockerfile": b"", "x": device}))


def test_a_tree_that_unfolds_to_millions_of_files_is_refused(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "MAX_ENTRIES", 900)
    level = id_at(repository, commit(repository, {"f": b"x"}), "f")
    mode = 0o100644
    for _ in range(10):
        level = tree(repository, {b"%d" % n: (mode, level) for n in range(10)})
        mode = 0o040000
    made = commit(repository, {"Dockerfile": b"", "bomb": Object(mode, level)})
    with pytest.raises(GitError, match="more than 900 files"):
        build_context(repository, made)
    with pytest.raises(GitError, match="more than 900 files"):
        tree_summary(repository, made)


@pytest.mark.clients
def test_more_bytes_than_a_context_may_have_are_refused_by_the_largest_file(
    repository: Path, monkeypatch: pytest.MonkeyPatch, reader: Reader
) -> None:
    monkeypatch.setattr(build_context_checks, "MAX_CONTEXT_BYTES", 1 << 20)
    made = commit(repository, {"Dockerfile": b"", "a": b"x" * (1 << 19), "b": b"x" * (1 << 20)})
    with pytest.raises(GitError) as caught:
        build_context(repository, made, reader=reader(repository))
    assert "the largest is 'b'" in caught.value.hint


@pytest.mark.parametrize("lost", ["src/a", "src", ""])
@pytest.mark.clients
def test_missing_objects_are_an_error_before_the_stream_begins(repository: Path, lost: str, reader: Reader) -> None:
    made = commit(repository, {"Dockerfile": b"", "src/a": b"x"})
    lose(repository, id_at(repository, made, lost) if lost else made)
    with pytest.raises(GitError) as caught:
        build_context(repository, made, reader=reader(repository))
    assert caught.value.hint
    with pytest.raises(GitError):
        tree_summary(repository, made)


@pytest.mark.clients
def test_a_damaged_object_is_an_error(repository: Path, reader: Reader) -> None:
    made = commit(repository, {"Dockerfile": b"", "a": b"x" * 5000})
    id_ = id_at(repository, made, "a")
    path = repository / "objects" / id_[:2] / id_[2:]
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:12])
    with pytest.raises(GitError):
        for _ in build_context(repository, made, reader=reader(repository)):
            pass


def test_something_that_is_no_commit_is_an_error(repository: Path, tmp_path: Path) -> None:
    made = commit(repository, {"Dockerfile": b""})
    with pytest.raises(GitError, match="is not a commit"):
        build_context(repository, id_at(repository, made, "Dockerfile"))
    for name in ("0" * 40, "main", "é"):
        with pytest.raises(GitError, match="cannot read commit"):
            build_context(repository, name)
    with pytest.raises(GitError):
        build_context(tmp_path / "nowhere", made)


@pytest.mark.parametrize("target", [b"", b"x" * 5000])
def test_a_link_without_a_usable_target_is_refused_by_name(repository: Path, target: bytes) -> None:
    with pytest.raises(GitError, match="'bad' has no usable target"):
        build_context(repository, commit(repository, {"Dockerfile": b"", "bad": link(target)}))


def test_the_summary_counts_files_and_bytes_of_the_commit(repository: Path) -> None:
    made = commit(
        repository, {"Dockerfile": b"12345", ".dockerignore": b"a", "a": b"123", "l": link(b"a"), "s": SUBMODULE}
    )
    summary = tree_summary(repository, made)
    assert summary == TreeSummary(4, 10, "First")
    assert tree_summary(repository, commit(repository, {"x/y": b"1", "z": b""}), subdirectory="x").files == 1
