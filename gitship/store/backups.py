"""Backup targets, backups of services, volumes and the server, and their schedules."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gitship.errors import AlreadyThere, Conflict, NoPermission, NotFound, nearest
from gitship.model import Identity, Role, Topic
from gitship.model.backups import (
    BackupSchedule,
    BackupState,
    BackupSubject,
    RowCounts,
    StoredBackup,
    StoredTarget,
    SubjectKind,
)
from gitship.store.services import ServiceRecords
from gitship.store.wal_archives import WalArchives

KEPT_FAILED = 50  # records of one subject without an object
_TARGET = "id, name, kind, url, options, secret, created_by, created_at"
_BACKUP = (
    "b.id, subject, owner, volume, b.name, number, engine, version, target_id, t.name, key, encrypted, bytes, sha256,"
    " state, counts, by, schedule, started_at, finished_at, verified_at, reason, hint, left_there,"
    " archive_id, wal_start, as_of, proven_until"
)
_BACKUPS = f"SELECT {_BACKUP} FROM backups b JOIN backup_targets t ON t.id = target_id"
_NAME = (  # of now
    "CASE subject WHEN 'service' THEN (SELECT name FROM services WHERE id = owner)"
    " WHEN 'volume' THEN (SELECT name FROM apps WHERE id = owner) || '/' || volume ELSE subject END"
)
_SCHEDULE = (
    f"s.id, subject, owner, volume, {_NAME}, target_id, t.name, schedule, keep, s.created_by, s.created_at, seen_at,"
    " told_at, spool_bytes FROM backup_schedules s JOIN backup_targets t ON t.id = target_id"
)
OF = "subject = ? AND owner = ? AND volume = ?"
GONE = (  # the service or app of a row of the table that is called so
    "(gone.subject = 'service' AND gone.owner NOT IN (SELECT id FROM services)"
    " OR gone.subject = 'volume' AND gone.owner NOT IN (SELECT id FROM apps))"
)
INTERRUPTED = "gitship was stopped in the middle of it"


class BackupRecords(ServiceRecords, WalArchives):
    """What the server knows of backups."""

    # -- who may

    def confirm_subject(self, subject: BackupSubject, by: Identity) -> BackupSubject:
        """With its name of now. Raises NotFound when it is gone, NoPermission when the key, or its right, is.

        Whether the app still has the volume is asked where that is read.
        """
        if subject.kind is SubjectKind.SERVICE:
            return self.confirm_service(self.service(subject.owner), by).subject
        if subject.kind is SubjectKind.VOLUME:
            app = self.confirm(self.app_by_id(subject.owner), by)
            return dataclasses.replace(subject, name=f"{app.name}/{subject.volume}")
        self.confirm_key(by)
        if by.limited or not by.role.allows(Role.ADMIN):
            raise NoPermission("backups of the whole server need an admin's key", "ask an admin")
        return subject

    @contextmanager
    def acting_on_subject(self, subject: BackupSubject, by: Identity) -> Iterator[BackupSubject]:
        """A transaction that begins with ``confirm_subject``."""
        with self.transaction():
            yield self.confirm_subject(subject, by)

    # -- targets

    def add_backup_target(
        self, name: str, kind: str, url: str, options: dict[str, str], secret: str, created_by: str
    ) -> StoredTarget:
        """Raises AlreadyThere when the name is taken."""
        try:
            with self.transaction() as db:
                made = db.execute(
                    "INSERT INTO backup_targets (name, kind, url, options, secret, created_by, created_at)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (name, kind, url, json.dumps(options), secret, created_by, time.time()),
                ).lastrowid
        except sqlite3.IntegrityError:
            raise AlreadyThere(f"a target named '{name}' already exists", "see `backups:target:list`") from None
        return self.backup_target(made or 0)

    def backup_targets(self) -> list[StoredTarget]:
        return [_target(row) for row in self._rows(f"SELECT {_TARGET} FROM backup_targets ORDER BY name")]

    def backup_target(self, target_id: int) -> StoredTarget:
        """Raises NotFound."""
        row = self._row(f"SELECT {_TARGET} FROM backup_targets WHERE id = ?", target_id)
        if row is None:
            raise NotFound("the target was removed", "see `backups:target:list`")
        return _target(row)

    def backup_target_named(self, name: str | None) -> StoredTarget:
        """None means the only one. Raises NotFound with the nearest name, or Conflict when there are several."""
        found = {target.name: target for target in self.backup_targets()}
        if not found:
            raise NotFound("there is no backup target", "an admin adds one: backups:target:add NAME PLACE")
        if name is None:
            if len(found) > 1:
                raise Conflict(f"there are several targets: {', '.join(found)}", "say which with --target NAME")
            return next(iter(found.values()))
        if name not in found:
            near = nearest(name, found)
            raise NotFound(
                f"no target '{name[:80]}'", f"did you mean '{near}'?" if near else f"known: {', '.join(found)}"
            )
        return found[name]

    def remove_backup_target(self, target_id: int) -> None:
        """With the records of what lies there. Raises Conflict while a schedule uses it, or a backup runs to it."""
        with self.transaction() as db:
            target = self.backup_target(target_id)
            users = [s for s in self.backup_schedules() if s.target_id == target_id]
            if users:
                raise Conflict(
                    f"{len(users)} schedules use {target.name}", "first: backups:unschedule; see `backups:schedules`"
                )
            if any(a.target_id == target_id and a.closed_at is None for a in self.wal_archives()):
                raise Conflict(f"WAL goes to {target.name}", "it ends in a moment, once its service runs")
            if any(b.state is BackupState.RUNNING for b in self.backups(target_id=target_id)):
                raise Conflict(f"a backup to {target.name} runs", "try again when it has ended")
            db.execute("DELETE FROM backups WHERE target_id = ?", (target_id,))
            db.execute("DELETE FROM wal_archives WHERE target_id = ?", (target_id,))
            db.execute("DELETE FROM backup_targets WHERE id = ?", (target_id,))

    # -- backups

    def begin_backup(
        self, subject: BackupSubject, target: StoredTarget, by: str, *, engine: str, version: str,
        schedule: int | None, encrypted: bool, archive_id: int | None = None,
    ) -> StoredBackup:  # fmt: skip
        """Running, without a key yet."""
        with self.transaction() as db:
            last = db.execute(f"SELECT max(number) FROM backups WHERE {OF}", subject.columns).fetchone()[0]
            made = db.execute(
                "INSERT INTO backups (subject, owner, volume, name, number, engine, version, target_id, encrypted,"
                " state, by, schedule, started_at, archive_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *subject.columns, subject.name, (last or 0) + 1, engine, version, target.id, encrypted,
                    BackupState.RUNNING, by, schedule, time.time(), archive_id,
                ),
            ).lastrowid  # fmt: skip
            failed = f"{OF} AND state = ? AND sha256 = '' AND NOT left_there"
            db.execute(
                f"DELETE FROM backups WHERE {failed} AND id NOT IN"
                f" (SELECT id FROM backups WHERE {failed} ORDER BY id DESC LIMIT ?)",
                (*subject.columns, BackupState.FAILED, *subject.columns, BackupState.FAILED, KEPT_FAILED),
            )
        return self.backup(made or 0)

    def change_backup(self, backup_id: int, **columns: Any) -> StoredBackup:
        if isinstance(columns.get("counts"), RowCounts):
            columns["counts"] = json.dumps(dataclasses.asdict(columns["counts"]))
        with self.transaction() as db:
            db.execute(
                f"UPDATE backups SET {', '.join(f'{column} = ?' for column in columns)} WHERE id = ?",
                (*columns.values(), backup_id),
            )
        return self.backup(backup_id)

    def forget_backup(self, backup_id: int) -> None:
        with self.transaction() as db:
            db.execute("DELETE FROM backups WHERE id = ?", (backup_id,))

    def backup(self, backup_id: int) -> StoredBackup:
        """Raises NotFound."""
        row = self._row(f"{_BACKUPS} WHERE b.id = ?", backup_id)
        if row is None:
            raise NotFound("the backup is gone", "see `backups:list`")
        return _backup(row)

    def backups(
        self, subject: BackupSubject | None = None, *, target_id: int | None = None, schedule: int | None = None
    ) -> list[StoredBackup]:
        """The newest first."""
        wanted: dict[str, Any] = {"target_id": target_id, "schedule": schedule}
        wanted |= dict(zip(("subject", "owner", "volume"), subject.columns, strict=True)) if subject else {}
        found = {column: value for column, value in wanted.items() if value is not None}
        where = " AND ".join(f"{column} = ?" for column in found) or "1"
        return [_backup(row) for row in self._rows(f"{_BACKUPS} WHERE {where} ORDER BY b.id DESC", *found.values())]

    def last_verified(self, subject: BackupSubject) -> StoredBackup | None:
        """The newest that can be restored."""
        row = self._row(
            f"{_BACKUPS} WHERE {OF} AND state = ? ORDER BY started_at DESC LIMIT 1",
            *subject.columns, BackupState.VERIFIED,
        )  # fmt: skip
        return _backup(row) if row else None

    def verified_backups(self, subject: BackupSubject) -> dict[int, float]:
        """When its newest verified one was begun, by the target's id (epoch seconds)."""
        rows = self._rows(
            f"SELECT target_id, max(started_at) FROM backups WHERE {OF} AND state = ? GROUP BY target_id",
            *subject.columns, BackupState.VERIFIED,
        )  # fmt: skip
        return dict(rows)

    def settle_backups(self) -> None:
        """What an earlier gitship was in the middle of has failed; what it may have left is to be removed."""
        with self.transaction() as db:
            db.execute(
                "UPDATE backups SET state = ?, finished_at = ?, reason = ?, hint = ? WHERE state IN (?, ?)",
                (
                    BackupState.FAILED, time.time(), INTERRUPTED, "run it again: backups:run", BackupState.RUNNING,
                    BackupState.UPLOADED,
                ),
            )  # fmt: skip

    def prune_backups(self, before: float) -> None:
        """Forgets failed attempts of what is gone that left nothing and ended ``before`` (epoch seconds)."""
        with self.transaction() as db:
            db.execute(
                f"DELETE FROM backups AS gone WHERE state = ? AND sha256 = '' AND NOT left_there AND {GONE}"
                " AND coalesce(finished_at, started_at) < ?",
                (BackupState.FAILED, before),
            )

    # -- schedules

    def add_backup_schedule(
        self, subject: BackupSubject, target: StoredTarget, schedule: str, keep: str, created_by: str,
        spool_bytes: int | None = None,
    ) -> BackupSchedule:  # fmt: skip
        """Raises AlreadyThere when the subject has the same one, or a point in time and this is to be another."""
        now = time.time()
        if spool_bytes is not None and any(one.point_in_time for one in self.backup_schedules(subject)):
            raise AlreadyThere(f"{subject.name} has a schedule with --point-in-time already", "see `backups:schedules`")
        try:
            with self.transaction() as db:
                made = db.execute(
                    "INSERT INTO backup_schedules (subject, owner, volume, target_id, schedule, keep, created_by,"
                    " created_at, seen_at, spool_bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (*subject.columns, target.id, schedule, keep, created_by, now, now, spool_bytes),
                ).lastrowid
        except sqlite3.IntegrityError:
            raise AlreadyThere(
                f"{subject.name} has that schedule to {target.name} already", "no change; see `backups:schedules`"
            ) from None
        return next(one for one in self.backup_schedules() if one.id == made)

    def backup_schedules(self, subject: BackupSubject | None = None) -> list[BackupSchedule]:
        where, values = (f" WHERE {OF}", subject.columns) if subject else ("", ())
        return [_schedule(row) for row in self._rows(f"SELECT {_SCHEDULE}{where} ORDER BY s.id", *values)]

    def end_backup_schedules(self, subject: BackupSubject) -> None:
        """All of them: it is being destroyed."""
        with self.transaction() as db:
            db.execute(f"DELETE FROM backup_schedules WHERE {OF}", subject.columns)

    def change_backup_schedule(self, schedule_id: int, **columns: Any) -> None:
        with self.transaction() as db:
            db.execute(
                f"UPDATE backup_schedules SET {', '.join(f'{column} = ?' for column in columns)} WHERE id = ?",
                (*columns.values(), schedule_id),
            )

    def remove_backup_schedule(self, schedule_id: int) -> None:
        """What it has made stays, until somebody removes it."""
        with self.transaction() as db:
            db.execute("DELETE FROM backup_schedules WHERE id = ?", (schedule_id,))

    def announce_backup(self, topic: Topic, subject: BackupSubject, text: str, apps: set[int]) -> None:
        """A message for every webhook of all apps, or of one of ``apps``, which it concerns."""
        with self.transaction():
            for webhook in self.webhooks():
                if any(webhook.wants(topic, app_id) for app_id in (None, *apps)):
                    self.add_delivery(webhook, topic, text=f"{subject.name}: {text}")


def _target(row: Any) -> StoredTarget:
    return dataclasses.replace(StoredTarget(*row), options=json.loads(row[4]))


def _subject(row: Any) -> BackupSubject:
    kind, owner, volume, name = row
    return BackupSubject(SubjectKind(kind), owner, volume, name or "")


def _schedule(row: Any) -> BackupSchedule:
    return BackupSchedule(row[0], _subject(row[1:5]), *row[5:])


def _backup(row: Any) -> StoredBackup:
    made = StoredBackup(row[0], _subject(row[1:5]), *row[5:])
    counts = json.loads(row[15])
    return dataclasses.replace(
        made, encrypted=bool(made.encrypted), state=BackupState(made.state), left=bool(made.left),
        counts=RowCounts(counts.get("before", {}), counts.get("after", {}), counts.get("content", "")),
    )  # fmt: skip
