"""Branches, tags and ids to commits; and a repository for a second app."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gitship.errors import GitError, NotFound
from gitship.git.copy_repository import prepared
from gitship.git.repository import Repositories, Repository
from gitship.git.revisions import resolve

pytestmark = pytest.mark.clients


@pytest.fixture
def repositories(tmp_path: Path, three_commits: Path) -> Repositories:
    made = Repositories(tmp_path / "repos", None)
    made.create("shop")
    target = made.open("shop").path
    command = ["git", "push", "-q", str(target), "HEAD:refs/heads/main", "HEAD~1:refs/heads/feature/x", "v1",
               "HEAD:refs/gitship/secret"]  # fmt: skip
    subprocess.run(command, cwd=three_commits, check=True, timeout=30)
    return made


@pytest.fixture
def shop(repositories: Repositories) -> Repository:
    return repositories.open("shop")


def test_a_branch_a_tag_and_an_id_lead_to_the_commit(shop: Repository) -> None:
    tip = shop.ref("refs/heads/main")
    assert tip is not None
    for word in ("main", "refs/heads/main", "v1", tip, tip[:7]):
        assert resolve(shop, word) == tip
    assert resolve(shop, "feature/x") == shop.ref("refs/heads/feature/x") != tip


def test_what_is_no_commit_is_refused_with_the_nearest_name(shop: Repository) -> None:
    with pytest.raises(NotFound) as caught:
        resolve(shop, "featur/x")
    assert "feature/x" in caught.value.hint
    tree = subprocess.run(
        ["git", "--git-dir", str(shop.path), "rev-parse", "main^{tree}"], capture_output=True, text=True, check=True
    ).stdout.strip()
    for word in (tree, "0" * 40, "abcdef", "", "-x", "refs/gitship/secret", "../HEAD"):
        with pytest.raises((NotFound, GitError)):
            resolve(shop, word)


def test_a_copy_has_all_objects_and_refs_and_shares_no_ref_with_the_first(
    repositories: Repositories, shop: Repository
) -> None:
    (shop.objects / "incoming-1").mkdir()
    with prepared(repositories, "shop") as aside:
        repositories.adopt(aside, "copy")
    copy = repositories.open("copy")
    wanted = {ref: sha for ref, sha in shop.refs().items() if not ref.startswith("refs/gitship/")}
    assert copy.refs() == wanted and copy.head() == shop.head() and copy.size() > 0
    subprocess.run(["git", "--git-dir", str(copy.path), "fsck", "--strict"], check=True, capture_output=True)
    assert not (copy.objects / "incoming-1").exists()
    tip = wanted["refs/heads/main"]
    assert copy.compare_and_set("refs/heads/main", tip, wanted["refs/heads/feature/x"])
    assert shop.ref("refs/heads/main") == tip
    assert [p.name for p in repositories.root.iterdir() if p.name.startswith(".")] == []


def test_a_copy_that_nobody_wants_is_gone_and_one_left_by_a_killed_server_is_replaced(
    repositories: Repositories, shop: Repository
) -> None:
    with pytest.raises(RuntimeError), prepared(repositories, "shop"):
        raise RuntimeError
    repositories.create("copy")  # without an app
    with prepared(repositories, "shop") as aside:
        repositories.adopt(aside, "copy")
    assert repositories.open("copy").ref("refs/heads/main") == shop.ref("refs/heads/main")
    assert [p.name for p in repositories.root.iterdir() if p.name.startswith(".")] == []
