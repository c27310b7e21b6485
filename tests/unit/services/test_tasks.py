"""Tasks of a service: one at a time, but for what only reads beside what leaves the server alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitship.engine.timeouts import WaitInterrupted
from gitship.errors import Conflict, GitshipError, ServiceError
from gitship.model import GITSHIP
from gitship.model.services import Service, TaskState
from gitship.services.tasks import INTERRUPTED, ServiceTasks, TaskJournal
from gitship.store import Store
from tests.waiting import wait_until


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "gitship.db")
    yield store
    store.close()


@pytest.fixture
def service(store: Store) -> Service:
    return store.create_service("db", "postgres", "17", "postgres:17", 1 << 29, "db", "x", None)


@pytest.fixture
def tasks(store: Store, tmp_path: Path) -> Iterator[ServiceTasks]:
    tasks = ServiceTasks(store, tmp_path / "tasks")
    yield tasks
    tasks.stop()


@pytest.mark.parametrize(
    ("first", "second", "goes"),
    [
        ("backup", "link", True), ("verify", "unlink", True), ("link", "backup", True), ("promote", "verify", True),
        ("backup", "verify", False), ("backup", "upgrade", False), ("verify", "restart", False),
        ("destroy", "backup", False), ("rotate", "backup", False), ("link", "unlink", False),
        ("backup", "repair", False),
    ],
)  # fmt: skip
def test_what_reads_goes_beside_links_and_nothing_else(
    tasks: ServiceTasks, service: Service, first: str, second: str, goes: bool
) -> None:
    end = threading.Event()
    tasks.begin(service, first, GITSHIP, lambda journal: _until(end))
    if goes:
        tasks.begin(service, second, GITSHIP, lambda journal: _until(end))
        with pytest.raises(Conflict):
            tasks.begin(service, "restart", GITSHIP, lambda journal: None)
    else:
        with pytest.raises(Conflict, match=f"db is busy: {first}, by gitship"):
            tasks.begin(service, second, GITSHIP, lambda journal: None)
    with tasks.idle(service) as mine:
        assert not mine
    end.set()
    wait_until(lambda: not tasks.running(service))
    with tasks.idle(service) as mine:
        assert mine


def test_the_end_of_one_leaves_the_other_running(tasks: ServiceTasks, service: Service) -> None:
    end, over = threading.Event(), threading.Event()
    one = tasks.begin(service, "backup", GITSHIP, lambda journal: _until(end))
    two = tasks.begin(service, "link", GITSHIP, lambda journal: over.set())
    wait_until(lambda: not tasks.runs(two))
    assert tasks.runs(one) and tasks.running(service)
    end.set()
    assert tasks.follow(one, lambda line: None, threading.Event()).state is TaskState.DONE


def test_the_last_lines_of_a_program_that_failed_are_shown(tasks: ServiceTasks, service: Service) -> None:
    def work(journal: TaskJournal) -> None:
        raise ServiceError("psql failed: no such table", "see its last lines above", ["line 3", "no such table"])

    shown: list[str] = []
    with pytest.raises(GitshipError, match="psql failed"):
        tasks.follow(tasks.begin(service, "load", GITSHIP, work), shown.append, threading.Event())
    assert [line.strip() for line in shown] == ["line 3"]


def test_a_stop_ends_what_waits_and_says_so(tasks: ServiceTasks, service: Service) -> None:
    begun = threading.Event()

    def work(journal: TaskJournal) -> None:
        begun.set()
        _until(journal.gone)
        raise WaitInterrupted

    task = tasks.begin(service, "backup", GITSHIP, work)
    assert begun.wait(10)
    tasks.stop()
    with pytest.raises(GitshipError, match=INTERRUPTED):
        tasks.follow(task, lambda line: None, threading.Event())


def _until(event: threading.Event) -> None:
    assert event.wait(20)
