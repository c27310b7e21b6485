"""Archives that become commits: what git itself would have made of the files, and what is refused without a trace."""

from __future__ import annotations

import gzip
import io
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from gitship.errors import GitError
from gitship.git import archive as archives
from gitship.git.archive import commit_archive
from gitship.git.repository import Repository
from tests.unit.git.conftest import assert_nothing_left

LIMIT = 1 << 20
Member = tuple[str, bytes | str | tuple[bytes, str]]  # content; a link's target; or a type with a link name


def tar(*members: Member, format: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format, encoding="utf-8", errors="surrogateescape") as made:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
                info.mode = 0o755 if content.startswith(b"#!") else 0o644
                made.addfile(info, io.BytesIO(content))
                continue
            kind, target = (tarfile.SYMTYPE, content) if isinstance(content, str) else content
            info.type, info.linkname = kind, target
            made.addfile(info)
    return out.getvalue()


class Trickle(io.BytesIO):
    """A client whose bytes come a few at a time."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 1, 700))


def take(repository: Repository, data: bytes, *, strip: int = 0, parent: str | None = None, limit: int = LIMIT) -> str:
    return commit_archive(
        repository, Trickle(data), parent=parent, author="ada <x>", strip=strip, limit_bytes=limit
    ).commit


def git(repository: Repository, *args: str) -> str:
    return subprocess.run(
        ["git", "--git-dir", str(repository.path), *args], capture_output=True, text=True, check=True, timeout=30
    ).stdout


def objects(repository: Repository) -> list[Path]:
    return sorted(p for p in repository.objects.rglob("*") if p.is_file())


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.clients
def test_files_links_and_modes_are_what_git_would_have(repository: Repository, pack: Callable[[bytes], bytes]) -> None:
    data = tar(
        ("./a/run.sh", b"#!/bin/sh\n"),
        ("a/b/ä" * 40 + "/long", b"x" * 3000),
        ("link", "../outside"),
        ("hard", (tarfile.LNKTYPE, "./a/run.sh")),
        ("a/run2", b"old"),
        ("a/run2", b"new"),
        ("empty", (tarfile.DIRTYPE, "")),
    )
    commit = take(repository, pack(data))
    rows = git(repository, "-c", "core.quotePath=false", "ls-tree", "-r", commit).splitlines()
    assert [row.split()[0] for row in rows] == ["100644", "100755", "100644", "100755", "120000"]
    assert git(repository, "show", f"{commit}:link") == "../outside"
    assert git(repository, "show", f"{commit}:a/run2") == "new"
    assert git(repository, "log", "-1", "--format=%an|%s", commit).startswith("ada x|archive ")
    git(repository, "fsck", "--strict", commit)
    second = take(repository, pack(tar(("b", b"1"))), parent=commit)
    assert git(repository, "log", "-1", "--format=%P", second).strip() == commit
    assert repository.refs() == {}
    assert_nothing_left(repository)


@pytest.mark.clients
def test_it_is_the_same_tree_as_the_one_that_git_archived(repository: Repository, three_commits: Path) -> None:
    command = ["git", "archive", "--prefix=top/", "HEAD"]
    data = subprocess.run(command, cwd=three_commits, capture_output=True, check=True, timeout=30).stdout
    commit = take(repository, data, strip=1)
    there = subprocess.run(
        ["git", "rev-parse", "HEAD^{tree}"], cwd=three_commits, capture_output=True, text=True, check=True, timeout=30
    ).stdout
    assert git(repository, "rev-parse", f"{commit}^{{tree}}") == there


BOMB = gzip.compress(tar(("zeros", bytes(2 * LIMIT))))
WHOLE = tar(("a", b"1" * 600), ("b", b"2" * 600))
SPARSE = tarfile.TarInfo("sparse")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (tar(("/etc/passwd", b"")), "absolute name"),
        (tar(("a/../../b", b"")), "dangerous name"),
        (tar((".git/config", b"")), "dangerous name"),
        (tar(("a/.GIT/hooks/x", b"")), "dangerous name"),
        (tar(("git~1", b"")), "dangerous name"),
        (tar(("a", (tarfile.CHRTYPE, ""))), "neither file, link nor directory"),
        (tar(("a", (tarfile.FIFOTYPE, ""))), "neither file, link nor directory"),
        (tar(("a", (tarfile.LNKTYPE, "/etc/shadow"))), "hard link to a file that is not earlier in the archive"),
        (tar(("a", "/etc"), ("a/b", b"")), "is both a directory and something else"),
        (tar(("a/b", b""), ("a", "/etc")), "is both a directory and something else"),
        (tar(("a" * 300, b"")), "too long"),
        (tar(("d/" * 300 + "f", b"")), "directories deep"),
        (tar(("x" * (archives.MAX_EXTENSION_BYTES + 1), b"")), "name or attribute larger than"),
        (BOMB, "more than 1 MiB"),
        (tar(("big", b"x" * LIMIT)), "more than 1 MiB"),
        (WHOLE[:1024], "ended early"),
        (WHOLE[:1500], "ended early"),
        (WHOLE[:1536], "ended early"),
        (WHOLE[:1536] + b"damaged" * 200, "ended early, or is damaged"),
        (gzip.compress(WHOLE)[:-4], "ended early"),
        (gzip.compress(WHOLE)[:30] + b"\0" * 30, "ended early|damaged"),
        (b"", "standard input is empty"),
        (b"PK\x03\x04" + b"\0" * 600, "the archive is zip"),
        (b"hello" * 400, "ended early, or is damaged"),
        (tar(), "no files"),
    ],
    ids=range(25),
)  # fmt: skip
def test_what_is_hostile_or_broken_is_refused_and_leaves_nothing(
    repository: Repository, data: bytes, said: str
) -> None:
    before = objects(repository)
    with pytest.raises(GitError, match=said):
        take(repository, data, limit=2 * LIMIT if "attribute" in said else LIMIT)
    assert objects(repository) == before
    assert_nothing_left(repository)


def test_what_is_stripped_away_is_no_app(repository: Repository) -> None:
    with pytest.raises(GitError, match="below 2 directories"):
        take(repository, tar(("a/b", b"1")), strip=2)


def test_too_many_files_are_refused(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_FILES", 3)
    for names in (("a", "b", "c", "d"), ("a/b/c/d",)):
        with pytest.raises(GitError, match="more than 3 entries"):
            take(repository, tar(*((name, b"") for name in names)))


def test_a_size_below_nothing_is_refused(repository: Repository) -> None:
    for header in (negative(tarfile.TarInfo("a")), pax_size("a", "-512")):
        with pytest.raises(GitError):
            take(repository, header + bytes(1024))


def negative(info: tarfile.TarInfo) -> bytes:
    """A header whose size is -512, in the binary form that GNU tar has for large ones."""
    raw = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    raw[124:136] = (-512).to_bytes(12, "big", signed=True)
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw)
    return bytes(raw)


def pax_size(name: str, size: str) -> bytes:
    info = tarfile.TarInfo(name)
    info.pax_headers = {"size": size}
    return info.tobuf(tarfile.PAX_FORMAT)
