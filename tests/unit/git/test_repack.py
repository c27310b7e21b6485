"""Many small pushes leave loose objects; packed anew, nothing is lost, not even what no ref leads to."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from gitship.errors import GitError
from gitship.git import repack
from gitship.git.repository import Repositories, Repository
from tests.e2e.apps import git

pytestmark = pytest.mark.clients


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repositories(tmp_path, None).create("shop")


def commit(repository: Repository, message: str, *, ref: bool = True) -> str:
    tree = git(repository.path, "hash-object", "-t", "tree", "-w", "/dev/null")
    parent = repository.ref("refs/heads/main")
    sha = git(repository.path, "commit-tree", tree, "-m", message, *(["-p", parent] if parent else []))
    if ref:
        assert repository.compare_and_set("refs/heads/main", parent, sha)
    return sha


def test_one_pack_has_it_all_even_what_no_ref_leads_to(repository: Repository) -> None:
    commits = [commit(repository, f"c{n}") for n in range(5)]
    lost = commit(repository, "of a release that no branch has any more", ref=False)
    before = repack.scattered(repository)
    assert before.loose >= 7 and before.packs == 0 and not before.worth_it
    repack.pack(repository)
    repack.pack(repository)  # git 2.39 takes what is unreachable and loose only into a pack that is there already
    after = repack.scattered(repository)
    assert (after.loose, after.packs) == (0, 1)
    assert repository.commit(lost).subject.startswith("of a release")
    assert [c.sha for c in repository.commits_between(None, commits[-1], 10)] == commits[::-1]
    repack.pack(repository)  # again: what was unreachable stays
    assert repository.commit(lost)


def test_it_is_worth_it_from_many_loose_objects_or_packs_on(repository: Repository) -> None:
    fan = repository.objects / "ab"
    fan.mkdir()
    for number in range(repack.MANY_LOOSE):
        (fan / f"{number:038x}").write_bytes(b"x")
    found = repack.scattered(repository)
    assert found.worth_it and found.bytes > 0


def test_what_a_push_has_left_goes_after_a_day(repository: Repository) -> None:
    old, young = repository.objects / "incoming-old", repository.objects / "incoming-young"
    for place in (old, young):
        (place / "pack").mkdir(parents=True)
        (place / "pack" / "tmp_pack_1").write_bytes(b"x" * 9000)
    day_ago = time.time() - repack.ABANDONED_S - 60
    os.utime(old, (day_ago, day_ago))
    found = repack.scattered(repository)
    assert found.abandoned == (old,) and found.worth_it and found.bytes >= 9000
    repack.pack(repository)
    assert not old.exists() and young.exists()


def test_a_failure_leaves_it_as_it_was(repository: Repository) -> None:
    sha = commit(repository, "c")
    (repository.objects / sha[:2] / sha[2:]).chmod(0o600)
    (repository.objects / sha[:2] / sha[2:]).write_bytes(b"damaged")
    with pytest.raises(GitError, match=r"packing shop\.git failed"):
        repack.pack(repository)
    assert (repository.objects / sha[:2] / sha[2:]).exists()
