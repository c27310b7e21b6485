"""Packs that nobody would make: whatever arrives is taken whole and sound, or refused and gone without a trace.

GITSHIP_FUZZ=N tries N examples of each instead of a few.
"""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitship.errors import GitError
from gitship.git.ingest import Ingest
from gitship.git.ingest_dulwich import DulwichIngest
from gitship.git.ingest_git import GitIngest
from gitship.git.object_headers import BLOB, OFS_DELTA
from gitship.git.push_limits import ReceiveLimits
from gitship.git.repository import Repositories
from tests.e2e.apps import clean_env
from tests.unit.git.commits import build_context
from tests.unit.git.conftest import assert_nothing_left
from tests.unit.git.raw import (
    Object,
    all_objects,
    blob,
    commit,
    entry,
    name_of,
    pack,
    pack_of,
    push,
    small_push,
    tree,
    wishes,
)

pytestmark = pytest.mark.clients
MAIN = "refs/heads/main"
LIMITS = ReceiveLimits(max_pack_bytes=8 << 20, memory_bytes=512 << 20, cpu_s=20, stall_s=5.0, ingest_s=20.0)
EXAMPLES = int(os.environ.get("GITSHIP_FUZZ", "0"))
WAYS = [pytest.param(DulwichIngest, 40, id="dulwich"), pytest.param(GitIngest, 12, id="git")]
# Old tools' own: taken, as every forge does; a build gives modes of its own.
TOLERATED = ("-c", "fsck.zeroPaddedFilemode=ignore", "-c", "fsck.badFilemode=ignore")
DELTA = b"\x05\x05\x90\x05"  # of five bytes make five: copy them all


def sound() -> bytes:
    """A pack of each kind of entry."""
    _, objects = small_push()
    base = entry(BLOB, b"first")
    made = entry(OFS_DELTA, DELTA, before=bytes([len(base)]))
    return pack_of(*(entry(*item) for item in objects), base, made)


def taken_whole_or_not_at_all(ingest: Ingest, tip: str, data: bytes) -> bool:
    """Pushes it into a new repository. True when it was taken; then real git finds nothing wrong."""
    with tempfile.TemporaryDirectory(prefix="gs-pack-") as directory:
        repository = Repositories(Path(directory), None).create("shop")
        answer = push(repository, ingest, wishes((None, tip, MAIN)) + data, limits=LIMITS)
        assert_nothing_left(repository)
        assert "Traceback" not in answer.remote
        if answer.refs.get(MAIN) == "ok":
            check = ["git", *TOLERATED, "fsck", "--strict", "--full", "--no-dangling"]
            done = subprocess.run(
                check, cwd=repository.path, env=clean_env(), capture_output=True, timeout=30, check=False
            )
            assert done.returncode == 0, done.stderr
            assert_context_stays_inside(repository.path, tip)
            return True
        assert (repository.refs(), all_objects(repository)) == ({}, set())
        return False


def assert_context_stays_inside(repository: Path, tip: str) -> None:
    """What a build would get of it: nothing, with a reason, or entries that lie in its directory."""
    try:
        data = b"".join(build_context(repository, tip, dockerfile="file"))
    except GitError:
        return
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            parts = member.name.split("/")
            assert ".." not in parts and not member.name.startswith("/"), member.name
            assert ".git" not in [part.lower() for part in parts], member.name
            assert member.isfile() or member.isdir() or member.issym(), member.name
            assert member.mode in (0o644, 0o755, 0o777), member.name


def mended(data: bytes) -> bytes:
    """With the checksum that it then has: past the first guard."""
    return data[:-20] + hashlib.sha1(data[:-20]).digest()


changes = st.lists(
    st.tuples(st.sampled_from(["set", "cut", "double", "insert"]), st.integers(0, 400), st.integers(0, 255)),
    min_size=1,
    max_size=6,
)


def changed(data: bytes, steps: list[tuple[str, int, int]]) -> bytes:
    for kind, place, byte in steps:
        at = place % len(data)
        if kind == "set":
            data = data[:at] + bytes([byte]) + data[at + 1 :]
        elif kind == "cut":
            data = data[:at] + data[min(len(data), at + 1 + byte % 16) :] or b"P"
        elif kind == "double":
            data = data[:at] + data[max(0, at - byte % 40) :]
        else:
            data = data[:at] + bytes([byte, byte ^ 0xFF]) + data[at:]
    return data


@pytest.mark.parametrize(("way", "examples"), WAYS)
def test_a_damaged_pack_is_taken_whole_or_leaves_nothing(way: type[Ingest], examples: int) -> None:
    tip, _ = small_push()
    assert taken_whole_or_not_at_all(way(), tip, sound())

    @settings(max_examples=EXAMPLES or examples, deadline=None, derandomize=not EXAMPLES)
    @given(changes, st.booleans())
    def damaged(steps: list[tuple[str, int, int]], mend: bool) -> None:
        data = changed(sound(), steps)
        taken_whole_or_not_at_all(way(), tip, mended(data) if mend else data)

    damaged()


EVIL = [
    b".git", b".GIT", b".gIt", b"git~1", b".git ", b".git.", b".g\xe2\x80\x8cit", b"..", b".", b"", b"a/b", b"a\\..\\b",
    b".gitmodules", b".git::$INDEX_ALLOCATION", b"con", b"x" * 300, b"\xff\xfe", b"a\nb", b"-rf", b"file",
    b"Dockerfile",
]  # fmt: skip
MODES = ["100644", "100755", "120000", "40000", "160000", "040000", "100664", "777", "0", "140000"]
entries = st.lists(
    st.tuples(st.sampled_from(MODES), st.one_of(st.sampled_from(EVIL), st.binary(max_size=20)), st.booleans()),
    max_size=4,
)


@pytest.mark.parametrize(("way", "examples"), WAYS)
def test_a_tree_that_is_taken_is_one_that_git_finds_sound(way: type[Ingest], examples: int) -> None:
    @settings(max_examples=EXAMPLES or examples, deadline=None, derandomize=not EXAMPLES)
    @given(entries)
    def evil(rows: list[tuple[str, bytes, bool]]) -> None:
        content = blob(b"x")
        inner = tree(("100644", b"in", content))
        made: list[tuple[str, bytes, Object | str]] = [
            (mode, name, inner if is_tree else content) for mode, name, is_tree in rows if b"\0" not in name
        ]
        root = tree(*made)
        tip = commit(root)
        if taken_whole_or_not_at_all(way(), name_of(tip), pack(content, inner, root, tip)):
            names = {name.lower().rstrip(b" .") for _, name, _ in made}
            assert not names & {b".git", b"", b"git~1"}, made

    evil()
