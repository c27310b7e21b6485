"""Schedules of backups by the test's own clock: what is due begins once, what has expired goes, what is late is told.

How a backup is made is this module's: it says that it was, at a directory, as the scheduler's own parts see it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gitship.backup.targets import Written
from gitship.config import Settings
from gitship.errors import ServiceError
from gitship.model import GITSHIP
from gitship.model.backups import (
    BackupSchedule,
    BackupState,
    BackupSubject,
    StoredBackup,
    StoredTarget,
)
from gitship.model.services import Service
from gitship.services.backup_objects import BackupObjects
from gitship.services.backup_scheduler import AT_ONCE, BackupScheduler
from gitship.services.backups import BackupRuns
from gitship.services.service_bases import ServiceBases
from gitship.services.tasks import ServiceTasks, TaskJournal
from gitship.services.wal_shipping import WalShipping
from gitship.store import Store
from tests.unit.services.test_wal_shipping import Spool
from tests.waiting import wait_until

DAY_S = 86_400.0


class NoWal(WalShipping):
    def prune(self, subject: BackupSubject) -> None:
        """There is none."""


class InstantBases(ServiceBases):
    def __init__(self, store: Store, wal: WalShipping) -> None:
        self._store = store
        self.wal = wal


class InstantBackups(BackupRuns):
    """Stores a few bytes in place of a dump, begun at the test's time. ``fails`` is why not; ``held`` waits."""

    def __init__(self, store: Store, settings: Settings, clock: Clock) -> None:
        objects = BackupObjects(store, settings)
        super().__init__(store, objects, {}, InstantBases(store, NoWal(store, objects, Spool())))
        self._clock = clock
        self.chains: list[tuple[int, int]] = []
        self.fails = ""
        self.held = threading.Event()
        self.held.set()

    def run(
        self, subject: BackupSubject, target: StoredTarget, by: str, journal: TaskJournal, *,
        schedule: int | None = None,
    ) -> StoredBackup:  # fmt: skip
        archive = self._store.open_wal_archive(subject.owner)
        backup = self._store.begin_backup(
            subject, target, by, engine="postgres", version="17", schedule=schedule, encrypted=True,
            archive_id=archive.id if archive else None,
        )  # fmt: skip
        backup = self._store.change_backup(backup.id, started_at=self._clock.now, key=self.objects.key(backup))
        assert self.held.wait(20)
        if self.fails:
            self._store.change_backup(backup.id, state=BackupState.FAILED, reason=self.fails)
            raise ServiceError(self.fails)
        written: Written = self.objects.at(target).put(backup.key, [b"dump"], threading.Event())
        return self._store.change_backup(
            backup.id, state=BackupState.LISTED, sha256=written.sha256, bytes=written.bytes
        )

    def verify_until(self, base: StoredBackup, until: StoredBackup, journal: TaskJournal) -> StoredBackup:
        self.chains.append((base.number, until.number))
        return base

    def verify(self, backup: StoredBackup, journal: TaskJournal) -> StoredBackup:
        return self._store.change_backup(backup.id, state=BackupState.VERIFIED, verified_at=self._clock.now)


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 12, 1, 12, tzinfo=UTC).timestamp()

    def __call__(self) -> float:
        return self.now


class Nightly:
    """Services with a schedule at 3:00 each."""

    def __init__(self, base: Path, store: Store) -> None:
        self.store, self.clock = store, Clock()
        settings = Settings(data_dir=base / "data")
        self.tasks = ServiceTasks(store, base / "tasks")
        self.backups = InstantBackups(store, settings, self.clock)
        self.scheduler = BackupScheduler(store, self.tasks, self.backups, "UTC", self.clock)
        self.target = store.add_backup_target("disk", "directory", str(base / "disk"), {}, "", "ada")
        self.backups.objects.at(self.target).check()

    def service(self, name: str, keep: str = "2") -> tuple[Service, BackupSchedule]:
        service = self.store.create_service(name, "postgres", "17", "postgres:17", 1 << 29, "db", "x", None)
        schedule = self.store.add_backup_schedule(service.subject, self.target, "0 3 * * *", keep, "ada")
        self.store.change_backup_schedule(schedule.id, created_at=self.clock.now, seen_at=self.clock.now)
        return service, schedule

    def tick(self, days: float = 0.0) -> None:
        """After so many days; what it has begun comes to its end."""
        self.clock.now += days * DAY_S
        self.scheduler.tick()
        if self.backups.held.is_set():
            wait_until(lambda: not any(self.tasks.running(s) for s in self.store.services()))

    def numbers(self, service: Service) -> list[int]:
        return [backup.number for backup in self.store.backups(service.subject)]

    def objects(self) -> int:
        return len(self.backups.objects.at(self.target).listed(""))

    def told(self) -> list[str]:
        return [delivery.text for hook in self.store.webhooks() for delivery in self.store.deliveries(hook.id)]


@pytest.fixture
def nightly(tmp_path: Path) -> Iterator[Nightly]:
    with closing(Store(tmp_path / "gitship.db")) as store:
        made = Nightly(tmp_path, store)
        yield made
        made.backups.held.set()
        made.tasks.stop()


def test_each_time_makes_one_backup_however_often_somebody_looks(nightly: Nightly) -> None:
    db, _ = nightly.service("db")
    nightly.tick()
    assert nightly.numbers(db) == []
    for days in (1, 0, 0):
        nightly.tick(days)
    assert nightly.numbers(db) == [1]


def test_what_was_due_while_gitship_was_down_is_made_up_for_once(nightly: Nightly) -> None:
    db, _ = nightly.service("db")
    for days in (5, 0):
        nightly.tick(days)
    assert nightly.numbers(db) == [1]


def test_a_clock_that_is_set_back_begins_nothing_again(nightly: Nightly) -> None:
    db, _ = nightly.service("db")
    for days in (1, -0.9, 0.9):
        nightly.tick(days)
    assert nightly.numbers(db) == [1]


def test_what_is_kept_no_longer_goes_from_the_target_and_a_persons_own_stays(nightly: Nightly) -> None:
    db, schedule = nightly.service("db", keep="2")
    own = nightly.backups.run(
        db.subject, nightly.target, "ada", TaskJournal(nightly.backups.objects._settings.data_dir / "j")
    )
    for _ in range(4):
        nightly.tick(1)
    assert nightly.numbers(db) == [5, 4, own.number]
    assert nightly.objects() == 3
    assert {backup.schedule for backup in nightly.store.backups()} == {schedule.id, None}


def test_the_newest_verified_one_is_kept_whatever_came_after_it(nightly: Nightly) -> None:
    db, _ = nightly.service("db", keep="1")
    nightly.tick(1)
    nightly.backups.verify = lambda backup, journal: backup  # type: ignore[method-assign]
    for _ in range(3):
        nightly.tick(1)
    states = [(backup.number, backup.state) for backup in nightly.store.backups(db.subject)]
    assert states == [(4, BackupState.LISTED), (1, BackupState.VERIFIED)]


def test_a_busy_service_has_its_backup_later(nightly: Nightly) -> None:
    db, _ = nightly.service("db")
    end = threading.Event()
    nightly.tasks.begin(db, "upgrade", GITSHIP, lambda journal: _until(end))
    nightly.clock.now += DAY_S
    nightly.scheduler.tick()
    assert nightly.numbers(db) == []
    end.set()
    wait_until(lambda: not nightly.tasks.running(db))
    nightly.tick(0.01)
    assert nightly.numbers(db) == [1]


def test_so_many_at_once_and_the_others_after_them(nightly: Nightly) -> None:
    made = [nightly.service(f"db{n}")[0] for n in range(AT_ONCE + 2)]
    nightly.backups.held.clear()
    for days in (1, 0):
        nightly.tick(days)
    wait_until(lambda: len(nightly.store.backups()) == AT_ONCE)
    nightly.backups.held.set()
    for _ in range(3):
        nightly.tick()
    assert all(nightly.numbers(service) == [1] for service in made)


def test_one_that_fails_is_told_and_holds_up_no_other(nightly: Nightly) -> None:
    nightly.store.add_webhook(
        "ops", "https://hooks.example.com/x", format="json", events=(), secret="", apps=None, anywhere=False,
        created_by="ada",
    )  # fmt: skip
    db, _ = nightly.service("db")
    broken = nightly.store.create_service("broken", "postgres", "17", "p", 1 << 29, "db", "x", None)
    schedule = nightly.store.add_backup_schedule(broken.subject, nightly.target, "0 3 * * *", "2", "ada")
    nightly.store.change_backup_schedule(schedule.id, schedule="of no use", seen_at=nightly.clock.now)
    nightly.tick(1)
    assert nightly.numbers(db) == [1] and nightly.numbers(broken) == []
    nightly.backups.fails = "the target is full"
    nightly.tick(1)
    nightly.tick()
    assert nightly.numbers(db) == [2, 1]
    assert nightly.told() == ["db: the target is full"]


def test_a_new_wal_archive_has_its_base_at_once_and_each_base_proves_the_wal_since_the_one_before(
    nightly: Nightly,
) -> None:
    db, schedule = nightly.service("db", keep="9")
    nightly.store.change_backup_schedule(schedule.id, spool_bytes=1 << 30)
    [schedule] = nightly.store.backup_schedules(db.subject)
    archive = nightly.store.open_archive(db, schedule)
    nightly.tick()
    assert nightly.numbers(db) == []  # archiving has not begun
    nightly.store.change_wal_archive(archive.id, seen_at=nightly.clock.now, opened_at=nightly.clock.now + 1)
    nightly.backups.fails = "the disk is full"
    for days in (0.0001, 0.0001):
        nightly.tick(days)
    assert nightly.numbers(db) == [1]
    nightly.backups.fails = ""
    nightly.tick(0.01)
    nightly.tick()
    assert nightly.numbers(db) == [2, 1] and nightly.backups.chains == []
    nightly.tick(1)
    assert nightly.numbers(db) == [3, 2, 1] and nightly.backups.chains == [(2, 3)]
    nightly.store.change_wal_archive(archive.id, closed_at=nightly.clock.now, reason="a gap")
    other = nightly.store.open_archive(db, schedule)
    nightly.store.change_wal_archive(
        other.id, seen_at=nightly.clock.now, opened_at=nightly.clock.now, reason="the disk is away"
    )
    nightly.tick()
    assert nightly.numbers(db) == [3, 2, 1]  # it would fail
    nightly.store.change_wal_archive(other.id, reason="")
    nightly.tick()
    assert nightly.numbers(db) == [4, 3, 2, 1] and nightly.backups.chains == [(2, 3)]


def test_what_is_late_is_told_once_and_again_after_it_was_well(nightly: Nightly) -> None:
    nightly.store.add_webhook(
        "ops", "https://hooks.example.com/x", format="json", events=("backup.overdue",), secret="", apps=None,
        anywhere=False, created_by="ada",
    )  # fmt: skip
    nightly.service("db")
    nightly.backups.fails = "no"
    for days in (1.5, 1, 1, 1):
        nightly.tick(days)
    assert len(nightly.told()) == 1 and "no backup was ever verified" in nightly.told()[0]
    nightly.backups.fails = ""
    for days in (1, 0):
        nightly.tick(days)
    nightly.backups.fails = "no"
    for days in (1, 1, 1):
        nightly.tick(days)
    assert len(nightly.told()) == 2


def test_what_a_killed_gitship_had_begun_is_due_again_and_its_object_goes(nightly: Nightly) -> None:
    db, schedule = nightly.service("db")
    nightly.clock.now += DAY_S
    backup = nightly.store.begin_backup(
        db.subject, nightly.target, "gitship", engine="postgres", version="17", schedule=schedule.id, encrypted=True
    )
    key = nightly.backups.objects.key(backup)
    nightly.store.change_backup(backup.id, key=key, left_there=True, state=BackupState.UPLOADED)
    nightly.backups.objects.at(nightly.target).put(key, [b"half"], threading.Event())
    nightly.store.settle_backups()
    assert nightly.store.backup(backup.id).state is BackupState.FAILED
    nightly.tick()
    assert key not in [stored.key for stored in nightly.backups.objects.at(nightly.target).listed("")]
    assert not nightly.store.backup(backup.id).left
    assert nightly.numbers(db) == [2, 1]


def _until(event: threading.Event) -> None:
    assert event.wait(20)
