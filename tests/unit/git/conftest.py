"""Both ways to take a pack in, a server for each, and a check that nothing outlives a test."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitship.git.ingest import Ingest
from gitship.git.ingest_dulwich import DulwichIngest
from gitship.git.ingest_git import GitIngest
from gitship.git.repository import Repositories, Repository
from tests.unit.git.gitd import GitServer, Work
from tests.waiting import wait_to_be


@pytest.fixture(params=[GitIngest, DulwichIngest])
def ingest(request: pytest.FixtureRequest) -> Ingest:
    made: Ingest = request.param()
    return made


@pytest.fixture(scope="session")
def three_commits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work tree with three commits and a tag, to be copied."""
    work = Work(tmp_path_factory.mktemp("made") / "work").init()
    for n in range(3):
        work.commit({"a": str(n), f"dir/file{n}": f"content {n}"}, f"Commit {n}")
    work.git("tag", "-a", "-m", "One", "v1")
    return work.path


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repositories(tmp_path / "repos", None).create("shop")


@pytest.fixture
def server(tmp_path: Path, ingest: Ingest) -> Iterator[GitServer]:
    made = GitServer(tmp_path / "repos", ingest)
    made.repositories.create("shop")
    yield made
    made.close()
    assert_nothing_left(made.repositories.open("shop"))


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path / "work").init()


def assert_nothing_left(repository: Repository) -> None:
    """Soon after its end there is no thread of a push, no quarantine, no half pack and no lock."""
    wait_to_be(lambda: left_over(repository), [])


def left_over(repository: Repository) -> list[str]:
    threads = [t.name for t in threading.enumerate() if t.name.startswith(("git-", "test-gitd-session"))]
    names = [name for _, directories, files in os.walk(repository.path) for name in (*directories, *files)]
    return threads + [n for n in names if n.startswith(("incoming-", "tmp_")) or n.endswith(".lock")]
