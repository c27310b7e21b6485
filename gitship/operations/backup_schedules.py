"""Schedules of backups, as people see and change them."""

from __future__ import annotations

import time
from dataclasses import dataclass

from gitship.appfiles import cron_schedule
from gitship.backup.retention import Retention
from gitship.errors import NotFound, UsageError
from gitship.model import Identity
from gitship.model.backups import BackupSchedule, StoredTarget
from gitship.model.services import Service
from gitship.operations.services import BackingServices
from gitship.operations.shared import Shared
from gitship.services.overdue import newest_verified, overdue
from gitship.services.room import ServicesRoom

LEAST_S = 600.0  # between two backups: a proof takes a server of its own


@dataclass(frozen=True, slots=True)
class ScheduleStatus:
    """Times are epoch seconds, None for never."""

    service: Service
    schedule: BackupSchedule
    next_at: float | None
    last_verified: float | None
    overdue: bool


class BackupSchedules:
    """Every method takes who acts, and what they may is checked again as it acts; raises GitshipError."""

    def __init__(self, shared: Shared, room: ServicesRoom, services: BackingServices) -> None:
        self._store = shared.store
        self._timezone = shared.settings.cron.timezone
        self._backups = room.backups
        self._services = services

    def add(self, service: Service, target: StoredTarget, when: str, keep: str, by: Identity) -> BackupSchedule:
        try:
            schedule = cron_schedule.parse(when)
        except ValueError as error:
            raise UsageError(f"the schedule {error}", "for example '0 3 * * *', each night at 3") from None
        kept = Retention.parse(keep).written()
        self._backups.ensure_possible(service)
        now = time.time()
        first = cron_schedule.following(schedule, self._timezone, now)
        second = cron_schedule.following(schedule, self._timezone, first) if first is not None else None
        if first is not None and second is not None and second - first < LEAST_S:
            raise UsageError(f"'{schedule}' is more often than each {LEAST_S / 60:g} minutes", "leave more between two")
        with self._store.acting_on_service(service, by) as current:
            return self._store.add_backup_schedule(current, target, schedule, kept, by.key_name)

    def all(self, by: Identity) -> list[ScheduleStatus]:
        services = {service.id: service for service in self._services.visible(by)}
        now, found = time.time(), []
        for schedule in self._store.backup_schedules():
            if schedule.service_id not in services:
                continue
            backups = self._store.service_backups(service_id=schedule.service_id)
            newest = newest_verified(backups, schedule.target_id)
            found.append(
                ScheduleStatus(
                    services[schedule.service_id], schedule,
                    cron_schedule.following(schedule.schedule, self._timezone, max(now, schedule.seen_at)),
                    newest.started_at if newest else None,
                    overdue(schedule, backups, self._timezone, now) is not None,
                )
            )  # fmt: skip
        return found

    def remove(self, service: Service, schedule_id: int, by: Identity) -> BackupSchedule:
        with self._store.acting_on_service(service, by):
            own = {schedule.id: schedule for schedule in self._store.backup_schedules(service.id)}
            if schedule_id not in own:
                raise NotFound(f"{service.name} has no schedule {schedule_id}", "see `backups:schedules`")
            self._store.remove_backup_schedule(schedule_id)
        return own[schedule_id]
