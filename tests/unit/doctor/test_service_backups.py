"""The doctor's look at backups of services: without a schedule, without a proof for too long, and well."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gitship.config import Settings
from gitship.doctor import Level
from gitship.doctor.service_backups import service_backups
from gitship.model.backups import WHOLE_SERVER, BackupState, BackupSubject, SubjectKind
from gitship.model.services import Service
from gitship.store import Store

HOUR_S = 3600.0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    with closing(Store(settings.database)) as store:
        yield store


def found(settings: Settings) -> list[tuple[Level, str]]:
    return [(finding.level, finding.text) for finding in service_backups(settings)]


def made(store: Store, name: str, engine: str = "postgres") -> Service:
    return store.create_service(name, engine, "17", "image:17", 1 << 29, "db", "x", None)


def test_a_server_that_never_started_says_nothing(settings: Settings) -> None:
    assert found(settings) == []


def test_a_service_without_a_schedule_is_named_unless_it_keeps_nothing(settings: Settings, store: Store) -> None:
    made(store, "db")
    made(store, "cache", "memcached")
    assert found(settings) == [(Level.WARN, "db has no schedule of backups")]


def test_wal_that_is_late_is_told_with_the_reason_and_a_gap_without_a_base(settings: Settings, store: Store) -> None:
    db, now = made(store, "db"), time.time()
    target = store.add_backup_target("disk", "directory", "/mnt/backups", {}, "", "ada")
    schedule = store.add_backup_schedule(db.subject, target, "0 3 * * *", "7d", "ada", 1 << 30)
    archive = store.open_archive(db, schedule)
    assert found(settings) == []  # its first base is being made
    store.change_wal_archive(archive.id, opened_at=now - HOUR_S, seen_at=now)
    assert found(settings) == [(Level.WARN, "db: no point in time since the last gap")]
    backup = store.begin_backup(
        db.subject, target, "ada", engine="postgres", version="17", schedule=schedule.id, encrypted=True,
        archive_id=archive.id,
    )  # fmt: skip
    store.change_backup(backup.id, as_of=now, sha256="a", state=BackupState.FAILED)
    assert found(settings) == [(Level.WARN, "db: no point in time since the last gap")]
    store.change_backup(backup.id, state=BackupState.VERIFIED)
    verified = (Level.OK, "db: verified backup at disk, 0 h old")
    assert found(settings) == [verified, (Level.OK, "db: point in time up to a minute ago")]
    store.change_wal_archive(archive.id, seen_at=now - 1800.0, reason="the disk is away")
    assert found(settings) == [verified, (Level.WARN, "db: no WAL at its target for 30 min: the disk is away")]
    store.change_wal_archive(archive.id, closed_at=now)
    assert found(settings) == [verified]


def test_only_a_verified_backup_of_lately_is_well(settings: Settings, store: Store) -> None:
    db = made(store, "db")
    target = store.add_backup_target("disk", "directory", "/mnt/backups", {}, "", "ada")
    schedule = store.add_backup_schedule(db.subject, target, "0 3 * * *", "7d", "ada")
    assert found(settings) == []  # it has two days for its first
    store.change_backup_schedule(schedule.id, created_at=time.time() - 49 * HOUR_S)
    assert found(settings) == [(Level.WARN, "db: none was ever verified, with the schedule '0 3 * * *'")]
    backup = store.begin_backup(
        db.subject, target, "ada", engine="postgres", version="17", schedule=schedule.id, encrypted=True
    )
    store.change_backup(backup.id, state=BackupState.LISTED)
    assert found(settings)[0][0] is Level.WARN
    store.change_backup(backup.id, state=BackupState.VERIFIED, started_at=time.time() - 5 * HOUR_S)
    assert found(settings) == [(Level.OK, "db: verified backup at disk, 5 h old")]
    store.change_backup(backup.id, started_at=time.time() - 50 * HOUR_S)
    assert found(settings) == [
        (Level.WARN, "db: the newest verified backup at disk is 50 h old, with the schedule '0 3 * * *'")
    ]


def test_volumes_and_the_server_are_told_under_their_own_names(settings: Settings, store: Store) -> None:
    app = store.create_app("shop")
    target = store.add_backup_target("disk", "directory", "/mnt/backups", {}, "", "ada")
    for subject in (BackupSubject(SubjectKind.VOLUME, app.id, "data"), WHOLE_SERVER):
        schedule = store.add_backup_schedule(subject, target, "0 3 * * *", "7d", "ada")
        store.change_backup_schedule(schedule.id, created_at=time.time() - 49 * HOUR_S)
    late = "none was ever verified, with the schedule '0 3 * * *'"
    assert found(settings) == [(Level.WARN, f"server: {late}"), (Level.WARN, f"shop/data: {late}")]
    backup = store.begin_backup(WHOLE_SERVER, target, "ada", engine="", version="", schedule=None, encrypted=True)
    store.change_backup(backup.id, state=BackupState.VERIFIED)
    assert [level for level, _ in found(settings)] == [Level.OK, Level.WARN]
