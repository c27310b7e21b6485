"""Schedules of backups, as people see and change them."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from gitship.appfiles import cron_schedule
from gitship.backup.retention import Retention
from gitship.errors import GitshipError, NotFound, UsageError
from gitship.model import Identity
from gitship.model.backups import BackupSchedule, BackupSubject, StoredTarget, SubjectKind
from gitship.operations.service_backups import BackupsOfServices
from gitship.operations.shared import Shared
from gitship.services.overdue import overdue
from gitship.services.room import ServicesRoom

LEAST_S = 600.0  # between two backups: a proof takes a server of its own


@dataclass(frozen=True, slots=True)
class ScheduleStatus:
    """Times are epoch seconds, None for never."""

    schedule: BackupSchedule
    next_at: float | None
    last_verified: float | None
    overdue: bool

    @property
    def look(self) -> str:
        """Green only while the newest proof is young enough."""
        return "down" if self.overdue else "live" if self.last_verified is not None else "stopped"


class BackupSchedules:
    """Every method takes who acts, and what they may is checked again as it acts; raises GitshipError."""

    def __init__(self, shared: Shared, room: ServicesRoom, backups: BackupsOfServices) -> None:
        self._store = shared.store
        self.timezone = shared.settings.cron.timezone
        self._runs = room.backups
        self._wal = room.backups.bases.wal
        self._sees = backups.sees

    def add(
        self, subject: BackupSubject, target: StoredTarget, when: str, keep: str, by: Identity, *,
        spool_bytes: int | None = None,
    ) -> BackupSchedule:  # fmt: skip
        """With ``spool_bytes`` for a point in time: WAL is archived from now on, or nothing has changed."""
        try:
            schedule = cron_schedule.parse(when)
        except ValueError as error:
            raise UsageError(f"the schedule {error}", "for example '0 3 * * *', each night at 3") from None
        kept = Retention.parse(keep).written()
        self._runs.ensure_possible(subject)
        now = time.time()
        first = cron_schedule.following(schedule, self.timezone, now)
        second = cron_schedule.following(schedule, self.timezone, first) if first is not None else None
        if first is not None and second is not None and second - first < LEAST_S:
            raise UsageError(f"'{schedule}' is more often than each {LEAST_S / 60:g} minutes", "leave more between two")
        if spool_bytes is not None:
            if subject.kind is not SubjectKind.SERVICE:
                raise UsageError(
                    f"{subject.name} is not a service: it has no point in time", "leave --point-in-time out"
                )
            self._wal.ensure_possible(self._store.service(subject.owner), self._runs.objects.at(target))
        with self._store.acting_on_subject(subject, by) as current:
            added = self._store.add_backup_schedule(current, target, schedule, kept, by.key_name, spool_bytes)
        if spool_bytes is not None:
            try:
                self._wal.open(self._store.service(subject.owner), added, threading.Event())
            except GitshipError:
                self._store.remove_backup_schedule(added.id)
                raise
        return added

    def all(self, by: Identity) -> list[ScheduleStatus]:
        now, found = time.time(), []
        for schedule in self._store.backup_schedules():
            if not self._sees(schedule.subject, by):
                continue
            verified = self._store.verified_backups(schedule.subject)
            found.append(
                ScheduleStatus(
                    schedule,
                    cron_schedule.following(schedule.schedule, self.timezone, max(now, schedule.seen_at)),
                    verified.get(schedule.target_id),
                    overdue(schedule, verified, self.timezone, now) is not None,
                )
            )  # fmt: skip
        return found

    def overdue(self, schedule: BackupSchedule, verified: Mapping[int, float]) -> bool:
        """As ``overdue.overdue``, now."""
        return overdue(schedule, verified, self.timezone, time.time()) is not None

    def remove(self, subject: BackupSubject, schedule_id: int, by: Identity) -> BackupSchedule:
        with self._store.acting_on_subject(subject, by):
            own = {schedule.id: schedule for schedule in self._store.backup_schedules(subject)}
            if schedule_id not in own:
                raise NotFound(f"{subject.name} has no schedule {schedule_id}", "see `backups:schedules`")
            self._store.remove_backup_schedule(schedule_id)
        if own[schedule_id].point_in_time:
            with suppress(GitshipError):  # its server does not run: it ends when that is back
                archive = self._store.open_wal_archive(subject.owner)
                if archive is not None:
                    self._wal.ship(archive, threading.Event(), 0.0)
                else:  # it has just ended by a gap
                    self._wal.stop(self._store.service(subject.owner))
        return own[schedule_id]
