"""Backup targets, backups of services and their schedules."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import time
from typing import Any

from gitship.errors import AlreadyThere, Conflict, NotFound, nearest
from gitship.model import Topic
from gitship.model.backups import BackupSchedule, BackupState, RowCounts, ServiceBackup, StoredTarget
from gitship.model.services import Service
from gitship.store.webhooks import Webhooks

KEPT_FAILED = 50  # records of one service without an object
_TARGET = "id, name, kind, url, options, secret, created_by, created_at"
_BACKUP = (
    "b.id, service_id, service, number, engine, version, target_id, t.name, key, encrypted, bytes, sha256, state,"
    " counts, by, schedule, started_at, finished_at, verified_at, reason, hint, left_there"
)
_BACKUPS = f"SELECT {_BACKUP} FROM service_backups b JOIN backup_targets t ON t.id = target_id"
_SCHEDULE = (
    "s.id, service_id, target_id, t.name, schedule, keep, s.created_by, s.created_at, seen_at, told_at"
    " FROM backup_schedules s JOIN backup_targets t ON t.id = target_id"
)
INTERRUPTED = "gitship was stopped in the middle of it"


class BackupRecords(Webhooks):
    """What the server knows of backups of its services."""

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
            if any(b.state is BackupState.RUNNING for b in self.service_backups(target_id=target_id)):
                raise Conflict(f"a backup to {target.name} runs", "try again when it has ended")
            db.execute("DELETE FROM service_backups WHERE target_id = ?", (target_id,))
            db.execute("DELETE FROM backup_targets WHERE id = ?", (target_id,))

    # -- backups

    def begin_backup(
        self, service: Service, target: StoredTarget, by: str, *, schedule: int | None, encrypted: bool
    ) -> ServiceBackup:
        """Running, without a key yet."""
        with self.transaction() as db:
            last = db.execute("SELECT max(number) FROM service_backups WHERE service_id = ?", (service.id,)).fetchone()[
                0
            ]
            made = db.execute(
                "INSERT INTO service_backups (service_id, service, number, engine, version, target_id, encrypted,"
                " state, by, schedule, started_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    service.id, service.name, (last or 0) + 1, service.engine, service.version, target.id, encrypted,
                    BackupState.RUNNING, by, schedule, time.time(),
                ),
            ).lastrowid  # fmt: skip
            db.execute(
                "DELETE FROM service_backups WHERE service_id = ? AND state = ? AND sha256 = '' AND NOT left_there"
                " AND id NOT IN (SELECT id FROM service_backups WHERE service_id = ? AND state = ? ORDER BY id DESC"
                " LIMIT ?)",
                (service.id, BackupState.FAILED, service.id, BackupState.FAILED, KEPT_FAILED),
            )
        return self.service_backup(made or 0)

    def change_backup(self, backup_id: int, **columns: Any) -> ServiceBackup:
        if isinstance(columns.get("counts"), RowCounts):
            columns["counts"] = json.dumps(dataclasses.asdict(columns["counts"]))
        with self.transaction() as db:
            db.execute(
                f"UPDATE service_backups SET {', '.join(f'{column} = ?' for column in columns)} WHERE id = ?",
                (*columns.values(), backup_id),
            )
        return self.service_backup(backup_id)

    def forget_backup(self, backup_id: int) -> None:
        with self.transaction() as db:
            db.execute("DELETE FROM service_backups WHERE id = ?", (backup_id,))

    def service_backup(self, backup_id: int) -> ServiceBackup:
        """Raises NotFound."""
        row = self._row(f"{_BACKUPS} WHERE b.id = ?", backup_id)
        if row is None:
            raise NotFound("the backup is gone", "see `backups:list`")
        return _backup(row)

    def service_backups(
        self, *, service_id: int | None = None, target_id: int | None = None, schedule: int | None = None
    ) -> list[ServiceBackup]:
        """The newest first."""
        wanted = {"service_id": service_id, "target_id": target_id, "schedule": schedule}
        found = {column: value for column, value in wanted.items() if value is not None}
        where = " AND ".join(f"{column} = ?" for column in found) or "1"
        return [_backup(row) for row in self._rows(f"{_BACKUPS} WHERE {where} ORDER BY b.id DESC", *found.values())]

    def last_verified(self, service_id: int) -> ServiceBackup | None:
        """The newest that can be restored."""
        row = self._row(
            f"{_BACKUPS} WHERE service_id = ? AND state = ? ORDER BY started_at DESC LIMIT 1",
            service_id, BackupState.VERIFIED,
        )  # fmt: skip
        return _backup(row) if row else None

    def settle_backups(self) -> None:
        """What an earlier gitship was in the middle of has failed; what it may have left is to be removed."""
        with self.transaction() as db:
            db.execute(
                "UPDATE service_backups SET state = ?, finished_at = ?, reason = ?, hint = ? WHERE state IN (?, ?)",
                (
                    BackupState.FAILED, time.time(), INTERRUPTED, "run it again: backups:run", BackupState.RUNNING,
                    BackupState.UPLOADED,
                ),
            )  # fmt: skip

    # -- schedules

    def add_backup_schedule(
        self, service: Service, target: StoredTarget, schedule: str, keep: str, created_by: str
    ) -> BackupSchedule:
        """Raises AlreadyThere when the service has the same one."""
        now = time.time()
        try:
            with self.transaction() as db:
                made = db.execute(
                    "INSERT INTO backup_schedules (service_id, target_id, schedule, keep, created_by, created_at,"
                    " seen_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (service.id, target.id, schedule, keep, created_by, now, now),
                ).lastrowid
        except sqlite3.IntegrityError:
            raise AlreadyThere(
                f"{service.name} has that schedule to {target.name} already", "no change; see `backups:schedules`"
            ) from None
        return next(one for one in self.backup_schedules() if one.id == made)

    def backup_schedules(self, service_id: int | None = None) -> list[BackupSchedule]:
        where, values = ("", ()) if service_id is None else (" WHERE service_id = ?", (service_id,))
        return [BackupSchedule(*row) for row in self._rows(f"SELECT {_SCHEDULE}{where} ORDER BY s.id", *values)]

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

    def announce_backup(self, topic: Topic, service: Service, text: str, apps: set[int]) -> None:
        """A message for every webhook of all apps, or of one of ``apps``, which are linked to the service."""
        with self.transaction():
            for webhook in self.webhooks():
                if any(webhook.wants(topic, app_id) for app_id in (None, *apps)):
                    self.add_delivery(webhook, topic, text=f"{service.name}: {text}")


def _target(row: Any) -> StoredTarget:
    return dataclasses.replace(StoredTarget(*row), options=json.loads(row[4]))


def _backup(row: Any) -> ServiceBackup:
    counts = json.loads(row[13])
    return dataclasses.replace(
        ServiceBackup(*row), encrypted=bool(row[9]), state=BackupState(row[12]), left=bool(row[21]),
        counts=RowCounts(counts.get("before", {}), counts.get("after", {})),
    )  # fmt: skip
