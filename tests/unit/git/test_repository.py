"""Repositories on disk: their life, what is read from them, and moves of refs."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from gitship.errors import Conflict, GitError, NotFound
from gitship.git.object_headers import BLOB, COMMIT, TAG, TREE, open_store, peek
from gitship.git.refs import RefUpdate
from gitship.git.repository import Repositories, Repository
from tests.unit.git.gitd import Work

MAIN = "refs/heads/main"
A, B, C = "1" * 40, "2" * 40, "3" * 40


@pytest.fixture
def repositories(tmp_path: Path) -> Repositories:
    hook = tmp_path / "post-receive"
    hook.write_text("#!/bin/sh\necho hook\n")
    return Repositories(tmp_path / "repos", hook)


@pytest.fixture(scope="session")
def two_commits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work tree and the repository it was pushed to over the file path, so by another process."""
    made = tmp_path_factory.mktemp("made")
    repository = Repositories(made / "repos", None).create("shop")
    work = Work(made / "work").init()
    work.commit({"Procfile": "web: run\n", "dir/a": "1", "dir/b": "1"}, "First\n\nBody")
    work.commit({"dir/a": "2", "new": "x"}, "Zweiter: mit ö")
    work.git("push", str(repository.path), "main")
    return made


@pytest.fixture
def work(two_commits: Path, tmp_path: Path) -> Work:
    shutil.copytree(two_commits / "work", tmp_path / "work")
    return Work(tmp_path / "work")


@pytest.fixture
def filled(repositories: Repositories, two_commits: Path) -> Repository:
    shutil.copytree(two_commits / "repos/shop.git", repositories.root / "shop.git")
    return repositories.create("shop")


def test_created_repository_is_bare_and_points_to_main(repositories: Repositories) -> None:
    repository = repositories.create("my.shop-1")
    assert repository.path.name == "my.shop-1.git"
    assert (repository.path / "HEAD").read_text() == "ref: refs/heads/main\n"
    hook = repository.path / "hooks/post-receive"
    assert os.access(hook, os.X_OK) and "echo hook" in hook.read_text()
    assert repositories.open("my.shop-1").refs() == {}


@pytest.mark.clients
def test_creating_again_keeps_everything_and_renews_the_hook(repositories: Repositories, filled: Repository) -> None:
    refs = filled.refs()
    assert repositories.hook is not None
    repositories.hook.write_text("#!/bin/sh\necho newer\n")
    assert repositories.create("shop").refs() == refs
    assert "newer" in (filled.path / "hooks/post-receive").read_text()
    assert [entry.name for entry in repositories.root.iterdir()] == ["shop.git"]


@pytest.mark.parametrize("name", ["../x", "a/b", "", "A", ".git", "x" * 64, "a\n"])
def test_names_that_are_no_app_are_refused_whatever_is_asked(repositories: Repositories, name: str) -> None:
    for ask in (repositories.create, repositories.open, repositories.remove):
        with pytest.raises(NotFound):
            ask(name)


def test_unknown_repository_is_not_found(repositories: Repositories) -> None:
    with pytest.raises(NotFound):
        repositories.open("shop")
    repositories.remove("shop")


@pytest.mark.clients
def test_removed_and_renamed(repositories: Repositories, filled: Repository) -> None:
    repositories.create("taken")
    with pytest.raises(Conflict):
        repositories.rename("shop", "taken")
    repositories.rename("shop", "store")
    assert repositories.open("store").ref(MAIN)
    repositories.remove("store")
    with pytest.raises(NotFound):
        repositories.open("store")
    assert sorted(entry.name for entry in repositories.root.iterdir()) == ["taken.git"]


@pytest.mark.parametrize("content", [b"nonsense\n", b"\xff\0", b"# pack-refs with: peeled \nzz refs/heads/main\n"])
@pytest.mark.clients
def test_a_damaged_file_of_refs_is_told_with_its_repository(filled: Repository, content: bytes) -> None:
    (filled.path / "packed-refs").write_bytes(content)
    with pytest.raises(GitError, match="the refs of shop cannot be read") as caught:
        filled.refs()
    assert f"move {filled.path / 'packed-refs'} away" in caught.value.hint


@pytest.mark.clients
def test_sweep_removes_what_a_killed_server_left_and_nothing_else(
    repositories: Repositories, filled: Repository
) -> None:
    left = [
        "objects/incoming-x1/pack/tmp_pack_1",
        "objects/tmp_pack_2",
        "objects/pack/tmp_idx_3",
        "objects/12/tmp_obj_4",
    ]
    left += ["refs/heads/main.lock", "refs/heads/dir/x.lock", "packed-refs.lock", "HEAD.lock"]
    for name in left:
        (filled.path / name).parent.mkdir(parents=True, exist_ok=True)
        (filled.path / name).touch()
    (repositories.root / ".new-x").mkdir()
    (repositories.root / ".old-x/objects").mkdir(parents=True)
    before = filled.refs()
    repositories.create("never-made")
    repositories.create("new")
    repositories.sweep({"new"})
    assert {p.name for p in repositories.root.iterdir()} == {"new.git", "shop.git"}
    assert [name for name in left if (filled.path / name).exists()] == []
    assert filled.refs() == before
    assert filled.commit(before[MAIN]).subject == "Zweiter: mit ö"


@pytest.mark.clients
def test_commit_is_described(filled: Repository, work: Work) -> None:
    commit = filled.commit(work.head("HEAD~1"))
    assert (commit.subject, commit.author) == ("First", "Ann <ann@example.com>")
    assert commit.at == float(work.git("log", "-1", "--format=%ct", "HEAD~1"))


@pytest.mark.clients
def test_what_is_no_commit_is_not_found(filled: Repository, work: Work) -> None:
    for sha in (A, "HEAD", "", "zz", work.head("HEAD^{tree}"), work.head("HEAD:new")):
        with pytest.raises(NotFound):
            filled.commit(sha)


@pytest.mark.parametrize(
    ("author", "told"),
    [
        ("A B <a@b.c> 1700000000 +0000", ("A B <a@b.c>", 1700000000.0)),
        ("A B <a@b.c>1700000000 +0000", ("A B <a@b.c>", 1700000000.0)),
        ("A B <a@b.c>", ("A B <a@b.c>", 0.0)),
        ("nobody", ("nobody", 0.0)),
        ("A <a> 99999999999999999999 +0000", None),
        ("", ("", 0.0)),
    ],
)
@pytest.mark.clients
def test_commit_of_an_old_tool_is_described_and_walked(
    filled: Repository, author: str, told: tuple[str, float] | None
) -> None:
    text = f"tree {'4b825dc642cb6eb9a060e54bf8d69288fbee4904'}\nparent {filled.ref(MAIN)}\n"
    data = f"{text}author {author}\ncommitter {author}\n\nOld\n".encode()
    done = subprocess.run(
        ["git", "hash-object", "-t", "commit", "-w", "--stdin", "--literally"],
        cwd=filled.path,
        input=data,
        capture_output=True,
        check=True,
        timeout=30,
    )
    sha = done.stdout.decode().strip()
    commit = filled.commit(sha)
    assert commit.subject == "Old"
    assert told is None or (commit.author, commit.at) == told
    assert filled.is_ancestor(filled.ref(MAIN) or "", sha)


@pytest.mark.clients
def test_small_file_is_read_and_anything_else_is_none(filled: Repository, work: Work) -> None:
    head = work.head()
    assert filled.blob(head, "Procfile") == b"web: run\n"
    assert filled.blob(head, "dir/a") == b"2"
    for path in ("nothing", "dir", "dir/nothing", "new/below", "", "/", "../x"):
        assert filled.blob(head, path) is None


@pytest.mark.clients
def test_large_file_is_refused_before_it_is_read(filled: Repository, work: Work) -> None:
    head = work.commit({"large": b"x" * ((1 << 20) + 1), "allowed": b"y" * (1 << 20)})
    work.git("push", str(filled.path), "main")
    with pytest.raises(GitError, match="large has 1048577 bytes"):
        filled.blob(head, "large")
    assert len(filled.blob(head, "allowed") or b"") == 1 << 20


@pytest.mark.clients
def test_ancestors(filled: Repository, work: Work) -> None:
    first, head = work.head("HEAD~1"), work.head()
    assert filled.is_ancestor(first, head) and filled.is_ancestor(head, head)
    assert not filled.is_ancestor(head, first)
    assert not filled.is_ancestor(A, head) and not filled.is_ancestor(head, A)


@pytest.mark.clients
def test_objects_packed_or_added_by_others_meanwhile_are_seen(filled: Repository, work: Work) -> None:
    first, head = work.head("HEAD~1"), work.head()
    assert filled.commit(head).subject
    subprocess.run(["git", "gc", "-q"], cwd=filled.path, env=work.environment, check=True, timeout=60)
    assert (filled.path / "packed-refs").exists()
    assert filled.ref(MAIN) == head
    assert filled.commit(first).sha == first
    newer = work.commit({"more": "1"})
    work.git("push", str(filled.path), "main")
    assert filled.commit(newer).sha == filled.ref(MAIN) == newer


@pytest.mark.clients
def test_type_and_size_are_known_without_inflating(filled: Repository, work: Work) -> None:
    text = "\n".join(f"line {n}" for n in range(5000))
    work.commit({"text": text})
    head = work.commit({"text": text + "\nmore"})
    work.git("tag", "-a", "-m", "x", "v1")
    work.git("push", str(filled.path), "main", "v1")
    expected = {
        head: COMMIT,
        work.head("HEAD^{tree}"): TREE,
        work.head("HEAD:text"): BLOB,
        work.head("HEAD~1:text"): BLOB,
        work.head("v1"): TAG,
    }
    sizes = {sha: int(work.git("cat-file", "-s", sha)) for sha in expected}
    for packed in (False, True):
        if packed:
            subprocess.run(["git", "gc", "-q"], cwd=filled.path, env=work.environment, check=True, timeout=60)
        with open_store(filled.objects) as store:
            assert {sha: peek(store, sha).type for sha in expected} == expected
            assert {sha: peek(store, sha).size for sha in expected} == sizes
            with pytest.raises(KeyError):
                peek(store, A)


def test_compare_and_set_moves_only_from_what_was_expected(repositories: Repositories) -> None:
    repository = repositories.create("shop")
    assert not repository.compare_and_set(MAIN, A, B)
    assert not repository.compare_and_set(MAIN, A, None)
    assert not repository.compare_and_set(MAIN, None, None)
    assert repository.compare_and_set(MAIN, None, A)
    assert not repository.compare_and_set(MAIN, None, B)
    assert not repository.compare_and_set(MAIN, C, B)
    assert repository.compare_and_set(MAIN, A, B)
    assert repository.ref(MAIN) == B
    assert not repository.compare_and_set(MAIN, A, None)
    assert repository.compare_and_set(MAIN, B, None)
    assert repository.ref(MAIN) is None


@pytest.mark.clients
def test_compare_and_set_of_a_packed_ref(filled: Repository, work: Work) -> None:
    head = work.head()
    subprocess.run(["git", "pack-refs", "--all"], cwd=filled.path, check=True, timeout=60)
    assert not filled.compare_and_set(MAIN, None, A)
    assert not filled.compare_and_set(MAIN, A, B)
    assert filled.compare_and_set(MAIN, head, A)
    assert filled.compare_and_set(MAIN, A, None)
    assert filled.refs() == {}


@pytest.mark.clients
def test_name_above_or_below_another_is_an_error_even_when_packed(filled: Repository) -> None:
    assert filled.compare_and_set("refs/heads/x/y", None, A)
    for _ in range(2):
        with pytest.raises(GitError, match="both cannot be"):
            filled.compare_and_set("refs/heads/main/sub", None, A)
        with pytest.raises(GitError, match="both cannot be"):
            filled.compare_and_set("refs/heads/x", None, A)
        subprocess.run(["git", "pack-refs", "--all"], cwd=filled.path, check=True, timeout=60)


def test_locked_ref_is_an_error(repositories: Repositories) -> None:
    repository = repositories.create("shop")
    (repository.path / "refs/heads/main.lock").touch()
    with pytest.raises(GitError, match="locked"):
        repository.compare_and_set(MAIN, None, A)


@pytest.mark.parametrize("ref", ["refs/heads/../../config", "config", "refs/heads/x.lock", "refs/heads/a b"])
def test_ref_that_would_leave_the_store_is_an_error(repositories: Repositories, ref: str) -> None:
    repository = repositories.create("shop")
    config = (repository.path / "config").read_text()
    with pytest.raises(GitError):
        repository.compare_and_set(ref, None, A)
    assert repository.ref(ref) is None
    assert (repository.path / "config").read_text() == config


def test_moving_all_is_all_or_nothing(repositories: Repositories) -> None:
    repository = repositories.create("shop")
    one, two = "refs/heads/one", "refs/heads/two"
    assert repository.compare_and_set_all([RefUpdate(one, None, A), RefUpdate(two, None, A)]) == {}
    reasons = repository.compare_and_set_all([RefUpdate(one, A, B), RefUpdate(two, C, B)])
    assert reasons == {two: "it has moved, fetch first"}
    assert repository.refs() == {one: A, two: A}
    assert repository.compare_and_set_all([RefUpdate(one, A, None), RefUpdate(two, A, B)]) == {}
    assert repository.refs() == {two: B}
    assert not list(repository.path.rglob("*.lock"))


@pytest.mark.clients
def test_head_can_point_to_another_branch(filled: Repository, work: Work, tmp_path: Path) -> None:
    head = work.head()
    filled.compare_and_set("refs/heads/master", None, head)
    filled.point_head("refs/heads/master")
    clone = Work(tmp_path / "clone")
    clone.git("clone", "-q", str(filled.path), ".")
    assert clone.git("symbolic-ref", "HEAD").strip() == "refs/heads/master"


@pytest.mark.clients
def test_commits_between_two_are_those_that_only_the_newer_has(tmp_path: Path) -> None:
    work = tmp_path / "work"
    git = ["git", "-C", str(work), "-c", "user.name=A", "-c", "user.email=a@example.com"]
    subprocess.run(["git", "init", "-q", "-b", "main", str(work)], check=True)
    shas: dict[int, str] = {}
    for number in range(5):
        if number == 3:  # two sides and a merge
            subprocess.run([*git, "checkout", "-q", "-b", "side", shas[1]], check=True)
        subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", f"commit {number}"], check=True)
        shas[number] = subprocess.check_output([*git, "rev-parse", "HEAD"], text=True).strip()
    subprocess.run([*git, "checkout", "-q", "main"], check=True)
    subprocess.run([*git, "merge", "-q", "--no-ff", "-m", "merge", "side"], check=True)
    merged = subprocess.check_output([*git, "rev-parse", "HEAD"], text=True).strip()
    repository = Repository(work / ".git")

    def between(old: str | None, new: str, limit: int = 50) -> set[str]:
        return {commit.subject for commit in repository.commits_between(old, new, limit)}

    assert between(shas[2], merged) == {"merge", "commit 3", "commit 4"}
    assert between(merged, shas[2]) == set()
    assert between(None, shas[1]) == {"commit 0", "commit 1"}
    assert between(None, merged, limit=1) == {"merge"}
    with pytest.raises(NotFound):
        repository.commits_between("1" * 40, merged, 5)
