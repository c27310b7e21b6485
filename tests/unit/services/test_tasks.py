"""Tasks of a service: one at a time, but for what only reads beside what leaves the server alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitship.engine.timeouts import WaitInterrupted
from gitship.errors import Conflict, GitshipError, ServiceError
from gitship.model import GITSHIP
from gitship.model.backups import WHOLE_SERVER, BackupState, BackupSubject, SubjectKind
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


def test_what_was_done_to_what_is_gone_is_forgotten_with_its_log(
    tasks: ServiceTasks, store: Store, service: Service, tmp_path: Path
) -> None:
    there = store.create_service("there", "postgres", "17", "postgres:17", 1 << 29, "db", "x", None)
    app = store.create_app("shop")
    subjects = [service.subject, there.subject, BackupSubject(SubjectKind.VOLUME, app.id, "data"), WHOLE_SERVER]
    done = [tasks.begin(subject, "backup", GITSHIP, lambda journal: journal.line("done")) for subject in subjects]
    wait_until(lambda: not any(tasks.running(subject) for subject in subjects))
    (tmp_path / "tasks" / "999.log").write_text("of a task that is forgotten already\n")

    def logs() -> set[int]:
        return {int(path.stem) for path in (tmp_path / "tasks").glob("*.log")}

    tasks.prune(time.time() + 31 * 86_400)
    assert logs() == {task.id for task in done}  # all are there yet
    store.delete_service(service.id)
    store.delete_app(app.id)
    tasks.prune(time.time() + 29 * 86_400)
    assert logs() == {task.id for task in done}
    tasks.prune(time.time() + 31 * 86_400)
    assert logs() == {done[1].id, done[3].id}
    assert store.service_tasks(service.id) == []


def test_failed_attempts_of_what_is_gone_are_forgotten_and_what_can_be_restored_is_not(
    store: Store, service: Service
) -> None:
    target = store.add_backup_target("disk", "directory", "/mnt/backups", {}, "", "ada")
    made = [
        store.begin_backup(service.subject, target, "ada", engine="", version="", schedule=None, encrypted=True).id
        for _ in range(3)
    ]
    store.change_backup(made[0], state=BackupState.FAILED, finished_at=100.0)
    store.change_backup(made[1], state=BackupState.FAILED, finished_at=100.0, left_there=True)  # removed first
    store.change_backup(made[2], state=BackupState.VERIFIED, finished_at=100.0, sha256="a" * 64)
    store.prune_backups(200.0)
    assert len(store.backups()) == 3
    store.delete_service(service.id)
    store.prune_backups(50.0)
    assert len(store.backups()) == 3
    store.prune_backups(200.0)
    assert [backup.id for backup in store.backups()] == [made[2], made[1]]
