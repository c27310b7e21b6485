"""Stock clients clone and fetch, from git as the child and from Dulwich alone."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gitship.git.ingest_git import GitIngest
from gitship.git.repository import Repositories, Repository
from gitship.git.upload_pack import upload_pack
from tests.examples import examples
from tests.unit.git import commits
from tests.unit.git.conftest import assert_nothing_left
from tests.unit.git.gitd import SETTINGS, GitServer, Work
from tests.unit.git.raw import Scripted, Sink, packet
from tests.unit.git.test_disconnect import children
from tests.waiting import GUARD_S, wait_until

pytestmark = pytest.mark.clients


@pytest.fixture
def work(three_commits: Path, tmp_path: Path) -> Work:
    shutil.copytree(three_commits, tmp_path / "work")
    return Work(tmp_path / "work")


@pytest.fixture(params=[True, False], ids=["git", "dulwich"])
def served(request: pytest.FixtureRequest, tmp_path: Path, work: Work) -> Iterator[GitServer]:
    """A server with three commits, a tag, and a ref of its own."""
    made = GitServer(tmp_path / "repos", GitIngest(), by_git=request.param)
    made.repositories.create("shop")
    work.git("push", made.url(), "main", "v1")
    made.repositories.open("shop").compare_and_set("refs/gitship/deploy/1", None, work.head())
    yield made
    made.close()
    assert_nothing_left(made.repositories.open("shop"))


@pytest.mark.parametrize("version", ["0", "2"])
def test_clone_has_everything(served: GitServer, work: Work, tmp_path: Path, version: str) -> None:
    clone = Work(tmp_path / "clone")
    clone.git("-c", f"protocol.version={version}", "clone", "-q", served.url(), ".")
    assert clone.head() == work.head()
    assert clone.head("v1") == work.head("v1")
    assert (clone.path / "dir/file2").read_text() == "content 2"
    clone.git("fsck", "--strict")


def test_shallow_clone_has_only_the_last_commits(served: GitServer, work: Work, tmp_path: Path) -> None:
    clone = Work(tmp_path / "clone")
    clone.git("clone", "-q", "--depth", "2", served.url(), ".")
    assert clone.git("rev-list", "--count", "HEAD").strip() == "2"
    assert clone.head() == work.head()


def test_clone_without_blobs_fetches_them_when_needed(served: GitServer, tmp_path: Path) -> None:
    clone = Work(tmp_path / "clone")
    clone.git("clone", "-q", "--filter=blob:none", "--no-checkout", served.url(), ".")
    missing = clone.git("rev-list", "--objects", "--missing=print", "HEAD")
    assert missing.count("?") == 6


def test_fetch_brings_what_is_new(served: GitServer, work: Work, tmp_path: Path) -> None:
    clone = Work(tmp_path / "clone")
    clone.git("clone", "-q", served.url(), ".")
    work.commit({"a": "new"})
    work.git("push", served.url(), "main")
    clone.git("pull", "-q", "--ff-only")
    assert clone.head() == work.head()
    assert clone.git("fetch") == ""


@pytest.mark.parametrize("version", ["0", "2"])
def test_listing_hides_the_servers_own_refs(served: GitServer, work: Work, version: str) -> None:
    listed = work.git("-c", f"protocol.version={version}", "ls-remote", served.url())
    assert [line.split("\t")[1] for line in listed.splitlines()] == [
        "HEAD",
        "refs/heads/main",
        "refs/tags/v1",
        "refs/tags/v1^{}",
    ]


def test_empty_repository_can_be_cloned(served: GitServer, tmp_path: Path) -> None:
    served.repositories.create("empty")
    clone = Work(tmp_path / "clone")
    assert "empty repository" in clone.git("clone", served.url("empty"), ".")


def test_git_speaks_version_two_when_asked_and_only_then(tmp_path: Path, work: Work) -> None:
    server = GitServer(tmp_path / "repos", GitIngest())
    server.repositories.create("shop")
    work.git("push", server.url(), "main")
    try:
        traced = dict(work.environment, GIT_TRACE_PACKET="1")
        for version, spoken in (("0", False), ("2", True)):
            done = subprocess.run(
                ["git", "-c", f"protocol.version={version}", "ls-remote", server.url()],
                env=traced,
                capture_output=True,
                text=True,
                timeout=30,
            )
            assert ("< version 2" in done.stderr) is spoken
    finally:
        server.close()


def test_client_killed_in_mid_clone_leaves_nothing(served: GitServer, work: Work, tmp_path: Path) -> None:
    work.commit({f"large{n}": random.Random(n).randbytes(1 << 20) for n in range(8)})
    work.git("push", "-q", served.url(), "main")
    before = children()
    client = subprocess.Popen(
        ["git", *SETTINGS, "clone", "-q", "--bare", served.url(), str(tmp_path / "clone")],
        env=work.environment,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    wait_until(lambda: list((tmp_path / "clone").rglob("tmp_pack_*")), every_s=0.002)
    os.killpg(client.pid, signal.SIGKILL)
    client.wait()
    # Two signs of life, one per second: TCP takes the first one even though nobody is there.
    assert_nothing_left(served.repositories.open("shop"))
    assert children() <= before


def test_caller_that_knows_the_client_left_is_believed(repository: Repository) -> None:
    before, gone = children(), threading.Event()
    stdin, stdout = Scripted(b"", ends=False), Sink()
    thread = threading.Thread(target=upload_pack, args=(stdin, stdout, repository), kwargs={"gone": gone})
    thread.start()
    wait_until(lambda: stdout.data.endswith(b"0000"))
    assert children() - before
    gone.set()
    thread.join(GUARD_S)
    assert not thread.is_alive()
    assert children() <= before
    stdin.end.set()


A = "1" * 40
WISHES = st.lists(
    st.sampled_from([
        "want HEAD\n", "want HEAD multi_ack side-band-64k ofs-delta\n", "want HEAD shallow thin-pack no-done\n",
        f"want {A}\n", "have HEAD\n", f"have {A}\n", "done\n", "deepen 1\n", "deepen x\n", f"deepen {'9' * 30}\n",
        "shallow HEAD\n", "shallow x\n", "want\n", "want x\n", "", "\n", "filter blob:none\n",
    ]).map(lambda line: ("line", line)) | st.sampled_from([b"0000", b"0001", b"0003", b"zzzz", b"ffff"]).map(
        lambda raw: ("raw", raw)
    ),
    max_size=7,
)  # fmt: skip


def test_without_git_any_wishes_are_answered_or_refused(tmp_path: Path) -> None:
    repository = Repositories(tmp_path / "repos", None).create("shop")
    head = commits.commit(repository.path, {"a": b"1"})
    repository.compare_and_set("refs/heads/main", None, head)

    @examples(60)
    @given(WISHES)
    @example([("raw", b"0004"), ("line", "want\n")])
    def ask(wishes: list[tuple[str, Any]]) -> None:
        said = b"".join(packet(what.replace("HEAD", head)) if kind == "line" else what for kind, what in wishes)
        assert upload_pack(Scripted(said), Sink(), repository, git=False) in (0, 1)

    ask()
