"""Base backups of services: copies of a server's files, from which WAL leads to any later time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC

from gitship.errors import ServiceError
from gitship.model.backups import BackupSchedule, BackupState, BackupSubject, RowCounts, StoredBackup
from gitship.model.services import Service
from gitship.services.backups import BackupAbout, BackupContent
from gitship.services.lifecycle import Fill, ServiceLifecycle
from gitship.services.restorable import written
from gitship.services.service_container import ServiceContainers
from gitship.services.service_dumps import ServiceDumps
from gitship.services.tasks import TaskJournal
from gitship.services.wal_replay import ReplayGoal, WalReplay
from gitship.services.wal_shipping import WalShipping
from gitship.store import Store


class ServiceBases:
    """A ``BackupSource``. Safe from any thread."""

    def __init__(
        self, store: Store, containers: ServiceContainers, lifecycle: ServiceLifecycle, dumps: ServiceDumps,
        wal: WalShipping,
    ) -> None:  # fmt: skip
        self._store = store
        self._containers = containers
        self._lifecycle = lifecycle
        self._dumps = dumps
        self.wal = wal
        self._replay = WalReplay(containers, wal)

    def archive(self, schedule: BackupSchedule, journal: TaskJournal) -> int:
        """The id of the WAL archive that goes on from a base that is made now. Raises GitshipError."""
        return self.wal.open(self._store.service(schedule.subject.owner), schedule, journal.gone).id

    def about(self, subject: BackupSubject) -> BackupAbout:
        service = self._store.service(subject.owner)
        self._containers.action(service, "base", ": it has no point in time")
        return BackupAbout(service.engine, service.version, service.database)

    @contextmanager
    def reading(self, subject: BackupSubject, journal: TaskJournal) -> Iterator[BackupContent]:
        """WAL has come to the target up to the base's end once its rows are counted."""
        service = self._store.service(subject.owner)
        container = self._containers.running(service)
        backup = next(b for b in self._store.backups(subject) if b.state is BackupState.RUNNING and b.is_base)
        archive = self._store.wal_archive(backup.archive_id or 0)
        self._store.change_backup(backup.id, wal_start=self.wal.switch(service, archive, journal.gone))

        def counts() -> RowCounts:
            before = self._lifecycle.counts(service, container)
            self._store.change_backup(backup.id, as_of=time.time())
            after = self._lifecycle.counts(service, container)
            self.wal.switch(service, archive, journal.gone)
            return RowCounts(before, after)

        action, values = self._containers.action(service, "base"), self._containers.values(service)
        with self._containers.actions.read(container, action, values, journal.gone) as chunks:
            yield BackupContent(chunks, counts)

    def verified(
        self, backup: StoredBackup, stored: AbstractContextManager[Iterator[bytes]], journal: TaskJournal
    ) -> str:
        return self.verified_until(backup, backup, stored, journal)

    def verified_until(
        self, backup: StoredBackup, until: StoredBackup, stored: AbstractContextManager[Iterator[bytes]],
        journal: TaskJournal,
    ) -> str:  # fmt: skip
        """Takes it to where ``until`` began, itself or a later one, whose rows it has to have then."""
        service = self._store.service(backup.subject.owner)
        fill = self.filling(service, stored, self.goal(backup, until.as_of), journal)
        proof = self._dumps.proved(backup, until, fill, journal, before_start=True)
        proven = max(until.as_of or 0.0, self._store.backup(backup.id).proven_until or 0.0)
        self._store.change_backup(backup.id, proven_until=proven)
        return proof

    def chain(self, backup: StoredBackup) -> StoredBackup | None:
        """The base before in the same archive: WAL leads from that to this one."""
        found = [b for b in self._store.backups(backup.subject) if b.archive_id == backup.archive_id and b.stored]
        return next((b for b in found if b.id < backup.id), None) if backup.is_base else None

    def goal(self, backup: StoredBackup, at: float | None) -> ReplayGoal:
        """What follows after the files of a base were restored. Raises ServiceError for one that is not whole."""
        if backup.archive_id is None or at is None:
            raise ServiceError(f"{backup.label} is not whole", "use another backup")
        archive = self._store.wal_archive(backup.archive_id)
        return ReplayGoal(archive.folder, archive.database, at, archive.target_id, archive.last_segment)

    def filling(
        self, service: Service, stored: AbstractContextManager[Iterator[bytes]], goal: ReplayGoal, journal: TaskJournal
    ) -> Fill:
        """What brings a base into the volume of a container without a server, and takes it to its time."""
        action = self._containers.action(service, "base_restore")

        def fill(container_id: str) -> None:
            with journal.stage("Restoring the base"), stored as chunks:
                values = self._containers.values(service)
                self._containers.actions.write(container_id, action, values, chunks, journal.gone)
            with journal.stage(f"Replaying WAL until {written(goal.at, UTC)}"):
                self._replay.replay(service, container_id, self.wal.place(goal.target_id), goal, journal)

        return fill
