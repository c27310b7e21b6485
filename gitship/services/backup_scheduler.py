"""Backup schedules: one thread begins what is due, has it verified, removes what has expired, and tells what is late.

What became due while gitship was down, or while its subject was busy, is made up for, once. Two run at a time, so that
twenty services at 3:00 take turns.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from gitship.appfiles import cron_schedule
from gitship.backup.retention import MadeBackup, Retention
from gitship.errors import Conflict, GitshipError, NotFound
from gitship.model import GITSHIP, Topic
from gitship.model.backups import BackupSchedule, BackupState, BackupSubject, SubjectKind
from gitship.model.services import ServiceTask
from gitship.per_app_errors import PerAppErrors
from gitship.schema import zone
from gitship.services.backups import BackupRuns
from gitship.services.overdue import overdue
from gitship.services.tasks import GONE_S, ServiceTasks, TaskJournal
from gitship.store import Store

log = logging.getLogger("gitship.services")
LOOK_S = 10.0
WHOLE_LOOK_S = 60.0  # between two looks at what is late and what is left
PRUNE_S = 6 * 3600.0
AT_ONCE = 2
AGAIN_S = 600.0  # between two tries of a base that a WAL archive has to have
STOP_S = 5.0


class BackupScheduler:
    """Owns the thread ``backups``. ``now`` is the time of day, in epoch seconds."""

    def __init__(
        self, store: Store, tasks: ServiceTasks, backups: BackupRuns, timezone: str,
        now: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._store = store
        self._tasks = tasks
        self._backups = backups
        self._timezone = timezone
        self._now = now
        self._apart = PerAppErrors()
        self._looked: float | None = None
        self._pruned = 0.0
        self._begun: dict[int, ServiceTask] = {}  # by schedule
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="backups", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """No backup begins afterwards; those that run end with their tasks."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(STOP_S)

    def _loop(self) -> None:
        while not self._ended.is_set():
            try:
                self.tick()
            except Exception:
                log.exception("looking at backups")
            if self._ended.wait(LOOK_S):
                return

    def tick(self) -> None:
        """Begins what is due, as many as may run; then the rest. What is wrong with one holds up no other."""
        now = self._now()
        with self._apart.round():
            for _, schedule in sorted(self._due(now), key=lambda pair: pair[0]):
                self._begun = {key: task for key, task in self._begun.items() if self._tasks.runs(task)}
                if len(self._begun) >= AT_ONCE or self._ended.is_set():
                    break
                if schedule.id in self._begun:
                    continue
                with self._apart.part("", f"backup of {schedule.subject.name}"):
                    self._begin(schedule)
            if self._looked is None or abs(now - self._looked) >= WHOLE_LOOK_S:
                self._looked = now
                self._look_at_all(now)

    def _look_at_all(self, now: float) -> None:
        """Tells what is late, and removes what failed backups have left at their targets."""
        if abs(now - self._pruned) >= PRUNE_S:
            with self._apart.part("", "records of what is gone"):
                self.prune()
        for schedule in self._store.backup_schedules():
            with self._apart.part("", f"overdue backup of {schedule.subject.name}"):
                self._tell_overdue(schedule, now)
        for backup in self._store.backups():
            if backup.left and backup.state is BackupState.FAILED and not self._ended.is_set():
                with self._apart.part("", f"what is left of {backup.label}"):
                    self._backups.clear(backup.id)

    def _due(self, now: float) -> list[tuple[float, BackupSchedule]]:
        """When each was due that has not been begun since. A clock that was set back begins nothing twice."""
        found = []
        for schedule in self._store.backup_schedules():
            with self._apart.part("", f"backup schedule {schedule.id}"):
                due = cron_schedule.following(schedule.schedule, self._timezone, schedule.seen_at)
                if schedule.point_in_time and self._needs_base(schedule, now):
                    due = now
                if due is not None and due <= now:
                    found.append((due, schedule))
        return found

    def _needs_base(self, schedule: BackupSchedule, now: float) -> bool:
        """A new WAL archive is of use from its first base on. One that failed is tried again now and then."""
        archive = self._store.open_wal_archive(schedule.subject.owner)
        if archive is None or archive.seen_at is None or archive.reason:
            return False
        if schedule.seen_at > archive.opened_at and now - schedule.seen_at < AGAIN_S:
            return False
        made = self._store.backups(schedule=schedule.id)
        return not any(b.archive_id == archive.id and b.stored and b.state is not BackupState.FAILED for b in made)

    def _begin(self, schedule: BackupSchedule) -> None:
        subject, begun_at = schedule.subject, self._now()

        def work(journal: TaskJournal) -> None:
            try:
                self._made(schedule, journal)
            except Exception as error:
                if self._ended.is_set():  # gitship stops: it is due again when it is back
                    raise
                told = error.message if isinstance(error, GitshipError) else f"internal error: {error!r:.200}"
                self._announce(Topic.BACKUP_FAILED, subject, told)
                self._store.change_backup_schedule(schedule.id, seen_at=begun_at)
                raise
            self._store.change_backup_schedule(schedule.id, seen_at=begun_at)

        try:
            self._begun[schedule.id] = self._tasks.begin(subject, "backup", GITSHIP, work)
        except Conflict as error:
            log.info("the backup of %s that is due waits: %s", subject.name, error.message)

    def _made(self, schedule: BackupSchedule, journal: TaskJournal) -> None:
        target = self._store.backup_target(schedule.target_id)
        backup = self._backups.run(schedule.subject, target, GITSHIP.key_name, journal, schedule=schedule.id)
        self._backups.verify(backup, journal)
        if schedule.point_in_time and (before := self._backups.bases.chain(backup)):
            self._backups.verify_until(before, backup, journal)  # all WAL between the two
        journal.line(f"=====> {backup.label} is verified")
        self.expire(schedule, journal.detail)
        if schedule.point_in_time:
            try:
                self._backups.bases.wal.prune(schedule.subject)
            except GitshipError as error:
                log.warning("WAL of %s that no base needs stays: %s", schedule.subject.name, error.message)

    def prune(self) -> None:
        """Forgets tasks and failed attempts of services, volumes and apps that are gone for long, and their logs."""
        self._pruned = self._now()
        self._tasks.prune(self._pruned)
        self._store.prune_backups(self._pruned - GONE_S)

    def expire(self, schedule: BackupSchedule, told: Callable[[str], None]) -> None:
        """Removes what the schedule has made and keeps no longer; what a target does not let go is tried again then."""
        backups = [b for b in self._store.backups(schedule.subject, schedule=schedule.id) if b.stored]
        made = [MadeBackup(b.id, b.started_at, b.state is BackupState.VERIFIED) for b in backups]
        gone = Retention.parse(schedule.keep).expired(made, self._now(), zone(self._timezone))
        for backup in backups:
            if backup.id in gone:
                try:
                    self._backups.remove(backup)
                except GitshipError as error:
                    log.warning("%s has expired and stays: %s", backup.label, error.message)
                else:
                    told(f"removed {backup.label}: --keep {schedule.keep}")

    def _tell_overdue(self, schedule: BackupSchedule, now: float) -> None:
        """Once, when it becomes so; again only after it was well in between."""
        found = overdue(schedule, self._store.verified_backups(schedule.subject), self._timezone, now)
        if found is None:
            if schedule.told_at is not None:
                self._store.change_backup_schedule(schedule.id, told_at=None)
            return
        if schedule.told_at is None:
            with self._store.transaction():
                self._announce(Topic.BACKUP_OVERDUE, schedule.subject, found.text(now))
                self._store.change_backup_schedule(schedule.id, told_at=now)
            log.warning("%s: %s", schedule.subject.name, found.text(now))

    def _announce(self, topic: Topic, subject: BackupSubject, text: str) -> None:
        apps = {subject.owner} if subject.kind is SubjectKind.VOLUME else set()
        if subject.kind is SubjectKind.SERVICE:
            apps = {link.app_id for link in self._store.service_links(service_id=subject.owner)}
        try:
            self._store.announce_backup(topic, subject, text, apps)
        except NotFound:  # the service was destroyed meanwhile
            log.info("%s: %s", subject.name, text)
