"""A stock git client pushes; every test runs with both ways to take a pack in."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, cast

import pytest
from dulwich.client import TCPGitClient
from dulwich.objects import ObjectID
from dulwich.refs import Ref
from dulwich.repo import Repo

from tests.unit.git.gitd import GitServer, Refuse, Work

pytestmark = pytest.mark.clients


def tip(server: GitServer, ref: str = "refs/heads/main") -> str | None:
    return server.repositories.open("shop").ref(ref)


def fsck(server: GitServer, work: Work) -> None:
    work.git("--git-dir", str(server.repositories.open("shop").path), "fsck", "--strict", "--no-dangling")


def test_first_push_and_the_next_one_arrive(server: GitServer, work: Work) -> None:
    first = work.commit({"app.py": "print(1)\n", "static/logo": b"\0\1\2"})
    assert "[new branch]      main -> main" in work.git("push", server.url(), "main")
    assert tip(server) == first
    second = work.commit({"app.py": "print(2)\n"})
    work.git("push", server.url(), "main")
    assert tip(server) == second
    fsck(server, work)


def test_push_of_what_is_there_already_changes_nothing(server: GitServer, work: Work) -> None:
    work.commit({"a": "1"})
    work.git("push", server.url(), "main")
    assert "Everything up-to-date" in work.git("push", server.url(), "main")


def test_forced_push_replaces_history_and_a_plain_one_does_not(server: GitServer, work: Work) -> None:
    work.commit({"a": "1"})
    work.commit({"a": "2"})
    work.git("push", server.url(), "main")
    work.git("reset", "-q", "--hard", "HEAD~1")
    other = work.commit({"a": "3"})
    assert "non-fast-forward" in work.git("push", server.url(), "main", fails=True)
    work.git("push", "--force", server.url(), "main")
    assert tip(server) == other


def test_force_with_lease_holds_when_the_ref_is_where_it_was_expected(server: GitServer, work: Work) -> None:
    first = work.commit({"a": "1"})
    work.git("push", server.url(), "main")
    work.git("commit", "-q", "--amend", "-m", "Amended")
    work.git("push", f"--force-with-lease=main:{first}", server.url(), "main")
    assert tip(server) == work.head()
    work.git("commit", "-q", "--amend", "-m", "Again")
    assert "stale info" in work.git("push", f"--force-with-lease=main:{first}", server.url(), "main", fails=True)


def test_amended_commit_with_the_same_tree_needs_no_new_blob(server: GitServer, work: Work) -> None:
    work.commit({"a": "1", "dir/b": "2", "dir/sub/c": "3"})
    work.git("push", server.url(), "main")
    work.git("commit", "-q", "--amend", "-m", "Amended")
    work.git("push", "--force", server.url(), "main")
    assert tip(server) == work.head()


def test_deleted_branch_is_gone_and_its_name_can_become_a_directory(server: GitServer, work: Work) -> None:
    work.commit({"a": "1"})
    work.git("push", server.url(), "main", "main:topic")
    work.git("push", server.url(), ":topic")
    assert tip(server, "refs/heads/topic") is None
    work.git("push", server.url(), "main:topic/one")
    assert tip(server, "refs/heads/topic/one") == work.head()
    work.git("push", server.url(), ":topic/one", "main:topic")
    assert tip(server, "refs/heads/topic") == work.head()


def test_branch_above_or_below_another_is_refused_with_that_reason(server: GitServer, work: Work) -> None:
    work.commit({"a": "1"})
    work.git("push", server.url(), "main")
    text = work.git("push", server.url(), "main:main/sub", fails=True)
    assert "'refs/heads/main' exists, both cannot be" in text


def test_tags_and_all_branches_arrive(server: GitServer, work: Work) -> None:
    work.commit({"a": "1"})
    work.git("tag", "light")
    work.git("tag", "-a", "-m", "Heavy", "heavy")
    work.git("branch", "other")
    work.git("push", "--all", server.url())
    work.git("push", "--tags", server.url())
    assert sorted(server.repositories.open("shop").refs()) == [
        "refs/heads/main",
        "refs/heads/other",
        "refs/tags/heavy",
        "refs/tags/light",
    ]
    assert tip(server, "refs/tags/heavy") == work.head("heavy")


def test_tag_of_a_file_arrives(server: GitServer, work: Work) -> None:
    work.commit({"a": "1"})
    work.git("tag", "file", "HEAD:a")
    work.git("push", server.url(), "file")
    assert tip(server, "refs/tags/file") == work.head("file")


def test_thin_pack_with_few_and_with_many_objects(server: GitServer, work: Work) -> None:
    lines = [f"line {n} {random.Random(n).random()}" for n in range(2000)]
    files = {f"dir{n % 7}/file{n}": "\n".join([str(n), *lines[:200]]) for n in range(150)}
    work.commit({"big": "\n".join(lines), **files})
    work.git("push", server.url(), "main")
    lines[1000] = "changed"
    work.commit({"big": "\n".join(lines)})
    work.git("-c", "pack.window=10", "push", "--thin", server.url(), "main")
    work.commit({name: text + "\nmore" for name, text in files.items()})
    work.git("-c", "pack.window=10", "push", "--thin", server.url(), "main")
    assert tip(server) == work.head()
    fsck(server, work)


def test_small_pushes_do_not_pile_up_packs(server: GitServer, work: Work) -> None:
    for n in range(3):
        work.commit({"a": str(n)})
        work.git("push", server.url(), "main")
    assert not list((server.repositories.open("shop").objects / "pack").iterdir())


def test_merge_of_two_lines_of_history_arrives(server: GitServer, work: Work) -> None:
    work.commit({"a": "1"})
    work.git("push", server.url(), "main")
    work.git("checkout", "-q", "-b", "side")
    work.commit({"b": "1"})
    work.git("checkout", "-q", "main")
    work.commit({"a": "2"})
    work.git("merge", "-q", "-m", "Merge", "side")
    work.git("push", server.url(), "main")
    assert tip(server) == work.head()
    fsck(server, work)


def test_dry_run_moves_nothing(server: GitServer, work: Work) -> None:
    work.commit({"a": "1"})
    assert "[new branch]" in work.git("push", "--dry-run", server.url(), "main")
    assert tip(server) is None


def test_atomic_push_moves_all(server: GitServer, work: Work) -> None:
    work.commit({"a": "1"})
    work.git("push", "--atomic", server.url(), "main", "main:other")
    assert tip(server) == tip(server, "refs/heads/other") == work.head()
    work.commit({"a": "2"})
    work.git("push", "--atomic", server.url(), "main", ":other")
    assert (tip(server), tip(server, "refs/heads/other")) == (work.head(), None)


def test_atomic_push_with_one_refused_moves_none(server: GitServer, work: Work) -> None:
    work.commit({"a": "1"})
    server.host = lambda repository: Refuse(repository, {"refs/heads/other": "protected"})
    text = work.git("push", "--atomic", server.url(), "main", "main:other", fails=True)
    assert "[remote rejected] main -> other (protected)" in text
    assert "[remote rejected] main -> main (atomic push failure)" in text
    assert server.repositories.open("shop").refs() == {}


def test_refused_ref_has_its_reason_and_the_others_move(server: GitServer, work: Work) -> None:
    work.commit({"a": "1"})
    server.host = lambda repository: Refuse(repository, {"refs/heads/other": "gitship: branch is\nprotected"})
    text = work.git("push", server.url(), "main", "main:other", fails=True)
    assert "[remote rejected] main -> other (gitship: branch is protected)" in text
    assert "remote: step 1" in text
    assert list(server.repositories.open("shop").refs()) == ["refs/heads/main"]


def test_push_options_reach_the_host(server: GitServer, work: Work) -> None:
    work.commit({"a": "1"})
    hosts: list[Refuse] = []

    def host(repository: object) -> Refuse:
        hosts.append(Refuse(server.repositories.open("shop"), {}))
        return hosts[-1]

    server.host = host
    work.git("push", "-o", "detach", "-o", "no-cache=ä", "-o", "", server.url(), "main")
    assert list(hosts[0].options) == ["detach", "no-cache=ä", ""]


@pytest.mark.parametrize("flags", [["--progress"], ["--quiet"], ["--signed=if-asked"], ["--no-thin"], ["--porcelain"]])
def test_other_flags_of_the_client_work(server: GitServer, work: Work, flags: list[str]) -> None:
    work.commit({"a": "1"})
    work.git("push", *flags, server.url(), "main")
    assert tip(server) == work.head()


def test_push_from_a_shallow_clone_whose_history_is_here(server: GitServer, work: Work, tmp_path: Path) -> None:
    for n in range(3):
        work.commit({"a": str(n), "dir/b": "same"})
    work.git("push", server.url(), "main")
    shallow = Work(tmp_path / "shallow")
    shallow.git("clone", "-q", "--depth", "1", work.path.as_uri(), ".")
    shallow.commit({"a": "new"})
    shallow.git("push", server.url(), "main")
    assert tip(server) == shallow.head()
    fsck(server, work)


def test_push_from_a_shallow_clone_whose_history_is_unknown_says_what_to_do(
    server: GitServer, work: Work, tmp_path: Path
) -> None:
    for n in range(3):
        work.commit({"a": str(n)})
    shallow = Work(tmp_path / "shallow")
    shallow.git("clone", "-q", "--depth", "1", work.path.as_uri(), ".")
    text = shallow.git("push", server.url(), "main", fails=True)
    assert "your clone is shallow" in text and "git fetch --unshallow" in text
    assert tip(server) is None


def test_submodule_entry_needs_no_object(server: GitServer, work: Work) -> None:
    work.commit({"a": "1"})
    work.git("update-index", "--add", "--cacheinfo", f"160000,{'12' * 20},library")
    work.git("commit", "-q", "-m", "Submodule")
    work.git("push", server.url(), "main")
    assert tip(server) == work.head()


def test_dulwich_client_that_keeps_its_stream_open(server: GitServer, work: Work) -> None:
    head = work.commit({"a": "1"})
    host, _, port = server.url().removeprefix("git://").removesuffix("/shop").partition(":")
    with Repo(str(work.path)) as local:
        generate = cast(Any, local.generate_pack_data)  # the client's protocol class exists for type checkers only
        wish = {Ref(b"refs/heads/main"): ObjectID(head.encode())}
        result = TCPGitClient(host, port=int(port)).send_pack(b"/shop", lambda refs: wish, generate)
    assert result.ref_status == {b"refs/heads/main": None}
    assert tip(server) == head


def test_server_that_cannot_write_says_so(server: GitServer, work: Work) -> None:
    work.commit({"a": "1"})
    shop = server.repositories.open("shop")
    shop.objects.rename(shop.path / "away")
    shop.objects.write_text("in the way")
    try:
        assert "could not store it" in work.git("push", server.url(), "main", fails=True)
    finally:
        shop.objects.unlink()
        (shop.path / "away").rename(shop.objects)
    assert tip(server) is None
