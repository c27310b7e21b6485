"""Reading blobs: memory, child processes, and what happens when somebody stops in the middle."""

from __future__ import annotations

import gc
import os
import stat
import tracemalloc
from pathlib import Path

import pytest

from gitship.errors import GitError
from gitship.git import blobs
from gitship.git.blobs import DulwichBlobs, GitBlobs
from tests.unit.git.commits import Content, bare, build_context, commit, id_at, lose

pytestmark = pytest.mark.clients

LARGE = 16 << 20


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return bare(tmp_path / "shop.git")


def children() -> set[int]:
    """Processes of which this one is the parent."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split() if entry.name.isdigit() else []
        except OSError:
            continue
        if fields and int(fields[1]) == os.getpid():
            found.add(int(entry.name))
    return found


def test_a_large_file_is_sent_in_pieces(repository: Path) -> None:
    made = commit(repository, {"Dockerfile": b"", "large": bytes(LARGE)})
    tracemalloc.start()
    try:
        sizes = [len(chunk) for chunk in build_context(repository, made)]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(sizes) > LARGE
    assert max(sizes) <= 1 << 20
    assert peak < 4 << 20


def test_small_files_are_sent_together(repository: Path) -> None:
    files: dict[str | bytes, Content] = {f"f{n}": b"x" for n in range(500)}
    made = commit(repository, {"Dockerfile": b"", **files})
    sizes = [len(chunk) for chunk in build_context(repository, made)]
    assert sum(sizes) > 500_000
    assert len(sizes) < 20


@pytest.mark.parametrize("end", ["close", "forget", "never begun"])
def test_the_child_ends_when_the_stream_is_left_early(repository: Path, end: str) -> None:
    made = commit(repository, {"Dockerfile": b"", "a large": bytes(LARGE), "z": b""})
    before = children()
    stream = build_context(repository, made)
    assert children() == before
    if end != "never begun":
        next(stream)
        assert len(children() - before) == 1
    if end == "close":
        stream.close()
    else:
        del stream
        gc.collect()
    assert children() == before


def test_no_child_is_left_after_a_refusal_or_at_the_end(repository: Path) -> None:
    before = children()
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"
    with pytest.raises(GitError):
        build_context(repository, commit(repository, {"Dockerfile": b"", "lfs": pointer, "z": b"x" * 500}))
    for _ in build_context(repository, commit(repository, {"Dockerfile": b"", "z": b"x" * 500})):
        pass
    assert children() == before


@pytest.mark.parametrize("reader", [GitBlobs, DulwichBlobs])
def test_what_is_ignored_is_never_read(repository: Path, reader: type[GitBlobs] | type[DulwichBlobs]) -> None:
    ignore = b"*.log\nnode_modules\n!.env.example\n"
    files: dict[str | bytes, Content] = {"Dockerfile": b"", ".dockerignore": ignore, "x.log": b"1", "src/a": b"3"}
    made = commit(repository, {**files, "node_modules/deep/index.js": b"2"})
    lose(repository, id_at(repository, made, "x.log"))
    lose(repository, id_at(repository, made, "node_modules"))
    assert b"".join(build_context(repository, made, reader=reader(repository)))


def fake_git(path: Path, script: str) -> str:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_a_git_that_falls_silent_is_ended(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blobs, "SILENCE_S", 0.3)
    before = children()
    reader = GitBlobs(repository, fake_git(tmp_path / "git", "exec sleep 600"))
    with pytest.raises(GitError, match="did not answer"):
        reader.sizes([b"1" * 40])
    assert children() == before


def test_only_many_or_large_files_are_worth_a_child(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    fake_git(tmp_path / "bin" / "git", "exit 1")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    few = commit(repository, {"Dockerfile": b"", "a": b"x" * 1_000_000})
    assert b"".join(build_context(repository, few))
    large = id_at(repository, commit(repository, {"a": bytes(LARGE)}), "a").encode()
    small = id_at(repository, few, "Dockerfile").encode()
    reader = blobs.choose(repository)
    assert reader.sizes([small, large]) == [0, LARGE]
    for ids in ([large], [small] * 100):
        with pytest.raises(GitError, match="git ended"):
            next(reader.contents(ids))
    with pytest.raises(GitError, match="git ended"):
        reader.sizes([small] * 100)


@pytest.mark.parametrize("script", ["exit 1", "echo 1111 blob 9; printf 1234"])
def test_a_git_that_ends_too_early_is_an_error(repository: Path, tmp_path: Path, script: str) -> None:
    reader = GitBlobs(repository, fake_git(tmp_path / "git", script))
    with pytest.raises(GitError, match="ended before"):
        for _, chunks in reader.contents([b"1" * 40, b"2" * 40]):
            b"".join(chunks)


def test_a_git_that_cannot_be_run_is_an_error(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(GitError, match="cannot run git"):
        GitBlobs(repository, str(tmp_path / "none")).sizes([b"1" * 40])


@pytest.mark.parametrize("kind", [GitBlobs, DulwichBlobs])
def test_chunks_left_unread_are_skipped(repository: Path, kind: type[GitBlobs] | type[DulwichBlobs]) -> None:
    made = commit(repository, {"a": b"1\n" * 350_000, "b": b"22", "c": b""})
    ids = [id_at(repository, made, name).encode() for name in ("a", "b", "c", "b")]
    reader = kind(repository)
    seen = []
    for size, chunks in reader.contents(ids):
        seen.append((size, next(chunks, b"")[:2]))
    assert seen == [(700_000, b"1\n"), (2, b"22"), (0, b""), (2, b"22")]
    assert reader.sizes(ids) == [700_000, 2, 0, 2]
    assert reader.sizes([]) == []
    assert next(reader.contents([]), None) is None


@pytest.mark.parametrize("kind", [GitBlobs, DulwichBlobs])
def test_a_directory_is_not_taken_for_a_file(repository: Path, kind: type[GitBlobs] | type[DulwichBlobs]) -> None:
    made = commit(repository, {"a/b": b""})
    with pytest.raises(GitError, match="is not a file"):
        kind(repository).sizes([id_at(repository, made, "a").encode()])
