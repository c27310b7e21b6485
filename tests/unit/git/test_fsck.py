"""The checks of the path without git, against git's own on the same objects."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitship.git.fsck import Fsck, name_refusal
from gitship.git.history import BadObject
from gitship.git.ingest_git import STRICT
from gitship.git.object_headers import TREE
from tests.unit.git.raw import blob, entry, pack_of, tree

pytestmark = pytest.mark.clients

PARTS = [
    "",
    ".",
    "..",
    ".git",
    "GIT",
    "git~1",
    "git",
    "~1",
    " ",
    "...",
    "\\",
    ":",
    "a",
    "\u200c",
    "\ufeff",
    "ü",
    "$",
    "mod",
]
names = st.lists(st.sampled_from(PARTS), max_size=4).map(lambda parts: "".join(parts).encode())


def git_refuses(directory: Path, entries: list[bytes]) -> list[bool]:
    """git's verdict on trees with one entry of each name."""
    verdicts = []
    for name in entries:
        data = pack_of(entry(*blob(b"x")), entry(*tree(("100644", name, blob(b"x")))))
        done = subprocess.run(
            ["git", "index-pack", "--stdin", STRICT], cwd=directory, input=data, capture_output=True, timeout=30
        )
        verdicts.append(done.returncode != 0)
    return verdicts


def test_names_are_judged_as_git_judges_them(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path)], check=True, timeout=30)
    chosen: list[bytes] = []

    @settings(max_examples=60, deadline=None, database=None)
    @given(names)
    def choose(name: bytes) -> None:
        if name not in chosen:
            chosen.append(name)

    choose()
    assert len(chosen) > 30
    ours = [name_refusal(name) is not None for name in chosen]
    theirs = git_refuses(tmp_path, chosen)
    assert [row for row in zip(chosen, ours, theirs, strict=True) if row[1] != row[2]] == []


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=120))
def test_any_bytes_are_a_tree_or_a_bad_object(data: bytes) -> None:
    try:
        list(Fsck().links(TREE, data))
    except BadObject:
        return
    assert data == b"" or b"\0" in data
