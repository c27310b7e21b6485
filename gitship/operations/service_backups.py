"""Backups, as people ask for them: targets, run, verify, restore into a new service or volume, download, remove."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import tzinfo

from gitship.appfiles import mounts
from gitship.backup.stream import Meter
from gitship.backup.targets import StoredObject, TargetDefinition
from gitship.errors import Conflict, GitshipError, NoPermission, NotFound, ServiceError, UsageError
from gitship.model import App, Identity
from gitship.model.backups import (
    BackupState,
    BackupSubject,
    RowCounts,
    StoredBackup,
    StoredTarget,
    SubjectKind,
)
from gitship.model.services import SERVICE_NAME, Service, ServiceTask
from gitship.operations.app_lock import ensure_unlocked
from gitship.operations.services import BackingServices
from gitship.operations.shared import Shared
from gitship.services.backup_objects import ENCRYPTED, BackupManifest, subject_of
from gitship.services.restorable import RestorableRange, range_of, ranges, written
from gitship.services.room import ServicesRoom
from gitship.services.tasks import TaskJournal
from gitship.services.wal_replay import ReplayGoal


@dataclass(frozen=True, slots=True)
class RestoreSource:
    """An object at a target, and what is known of it; ``backup`` is this server's record, if it has one."""

    target: StoredTarget
    key: str
    encrypted: bool
    engine: str
    version: str
    sha256: str
    backup: StoredBackup | None = None
    manifest: BackupManifest | None = None
    goal: ReplayGoal | None = None  # of a base
    exact: bool = True  # its rows are known, and are compared

    @property
    def kind(self) -> str:
        return self.backup.subject.kind if self.backup is not None else subject_of(self.key)[0]

    @property
    def counts(self) -> RowCounts:
        """Of a volume."""
        if self.backup is not None or self.manifest is None:
            return self.backup.counts if self.backup is not None else RowCounts()
        known = self.manifest
        return RowCounts.exact({"files": known.files or 0, "bytes": known.content_bytes or 0}, known.content)


class BackupsOfServices:
    """Every method takes who acts, and what they may is checked again as it acts; raises GitshipError."""

    def __init__(self, shared: Shared, room: ServicesRoom, services: BackingServices) -> None:
        self._store = shared.store
        self._room = room
        self._services = services
        self._backups = room.backups
        self._objects = room.backups.objects

    # -- targets

    def add_target(
        self, name: str, url: str, options: Mapping[str, str], secret: str, by: Identity, *, check: bool = True
    ) -> StoredTarget:
        """Writes, lists, reads and removes a small object there before it is kept. Raises GitshipError."""
        if not SERVICE_NAME.fullmatch(name):
            raise UsageError(f"'{name[:80]}' cannot be the name of a target", "small letters, digits and '-'")
        defined = TargetDefinition.of(name, url, options, secret)
        if check:
            self._objects.at(StoredTarget(0, name, defined.kind, defined.url, defined.options, defined.secret)).check()
        with self._store.acting_for_all(by):
            return self._store.add_backup_target(
                name, defined.kind, defined.url, dict(defined.options), defined.secret, by.key_name
            )

    def typed(self, target: StoredTarget) -> str:
        """As it was defined, without the secret."""
        return TargetDefinition(target.name, target.kind, target.url, target.options, "").typed

    def check_target(self, target: StoredTarget, by: Identity) -> None:
        self._store.confirm_key(by)
        self._objects.at(target).check(prepare=False)

    def remove_target(self, target: StoredTarget, by: Identity) -> None:
        """The backups at it stay there. Raises Conflict while a schedule uses it."""
        with self._store.acting_for_all(by):
            self._store.remove_backup_target(target.id)

    def at_target(self, target: StoredTarget, by: Identity) -> list[StoredObject]:
        """All that lies there, also of other servers, and of services and volumes that are gone."""
        self._ensure_unlimited(by)
        return self._objects.listed(self._objects.at(target))

    # -- backups

    def volume(self, app: App, name: str) -> BackupSubject:
        """Raises NotFound with the nearest name."""
        subject = BackupSubject(SubjectKind.VOLUME, app.id, name, f"{app.name}/{name}")
        self._backups.ensure_possible(subject)
        return subject

    def sees(self, subject: BackupSubject, by: Identity) -> bool:
        """Whether the key may know of it. Of what is gone, and of the whole server, only a key of all apps does."""
        if by.apps is None or subject.kind is SubjectKind.SERVER:
            return by.apps is None
        if subject.kind is SubjectKind.VOLUME:
            return by.sees(subject.owner)
        return any(service.id == subject.owner for service in self._services.visible(by))

    def visible(self, by: Identity) -> list[StoredBackup]:
        found = self._store.backups()
        seen = {subject for subject in {backup.subject for backup in found} if self.sees(subject, by)}
        return [backup for backup in found if backup.subject in seen]

    def find(self, subject: BackupSubject, number: int | None) -> StoredBackup:
        """By its number; without one the newest verified, or else the newest that is there. Raises NotFound."""
        there = [b for b in self._store.backups(subject) if b.stored]
        if number is None:
            verified = [b for b in there if b.state is BackupState.VERIFIED]
            found = next(iter(verified or there), None)
        else:
            found = next((b for b in there if b.number == number), None)
        if found is None:
            what = f"no backup {number}" if number is not None else "no backup"
            raise NotFound(f"{subject.name} has {what} that can be read", f"see `backups:list {subject.name}`")
        return found

    def run(self, subject: BackupSubject, target: StoredTarget, by: Identity, *, verify: bool = True) -> ServiceTask:
        self._backups.ensure_possible(self._store.confirm_subject(subject, by))

        def work(journal: TaskJournal) -> None:
            now = self._store.confirm_subject(subject, by)
            backup = self._backups.run(now, self._store.backup_target(target.id), by.key_name, journal)
            if verify:
                self._backups.verify(backup, journal)
            proved = "is verified" if verify else f"is not verified yet: backups:verify {now.name} {backup.number}"
            journal.line(f"=====> {backup.label} {proved}")

        return self._services.tasks.begin(subject, "backup", by, work)

    def verify(self, subject: BackupSubject, backup: StoredBackup, by: Identity) -> ServiceTask:
        self._store.confirm_subject(subject, by)

        def work(journal: TaskJournal) -> None:
            self._store.confirm_subject(subject, by)
            self._backups.verify(self._store.backup(backup.id), journal)
            journal.line(f"=====> {backup.label} is verified")

        return self._services.tasks.begin(subject, "verify", by, work)

    def remove(self, subject: BackupSubject, backup: StoredBackup, by: Identity) -> None:
        """From its target, for good. Raises Conflict for the newest that is verified."""
        self._store.confirm_subject(subject, by)
        if backup.state in (BackupState.RUNNING, BackupState.UPLOADED):
            raise Conflict(f"{backup.label} is being made", "wait for its end")
        newest = self._store.last_verified(subject)
        if newest is not None and newest.id == backup.id:
            raise Conflict(f"{backup.label} is the newest that is verified", "take another first: backups:run")
        self._backups.remove(backup)
        if backup.is_base:
            self._backups.bases.wal.prune(subject)

    @contextmanager
    def download(
        self, subject: BackupSubject, backup: StoredBackup, by: Identity, gone: threading.Event, *, plain: bool
    ) -> Iterator[Iterator[bytes]]:
        """The object as it lies at its target, or what it encrypts. The end raises GitshipError unless it was whole."""
        self._store.confirm_subject(subject, by)
        place = self._objects.at(self._store.backup_target(backup.target_id))
        meter = Meter()
        with self._objects.plain(place, backup.key, backup.encrypted and plain, meter.metered) as chunks:
            yield _whole(chunks, meter, backup, gone)

    # -- restored

    def source_of(self, subject: BackupSubject, number: int | None, by: Identity) -> RestoreSource:
        """Raises NotFound."""
        self._store.confirm_subject(subject, by)
        backup = self.find(subject, number)
        return self._source(backup, backup.as_of)

    def times(self, service: Service, by: Identity) -> list[RestorableRange]:
        """Times that it can be restored to, the oldest first."""
        self._store.confirm_service(service, by)
        return ranges(self._store.wal_archives(service.id), self._store.backups(service.subject))

    def source_as_of(self, service: Service, at: float, where: tzinfo, by: Identity) -> RestoreSource:
        """The service at a time. Of one that runs, what it has written until now is sent to the target first.

        Raises NotFound with the possible times, which are in the zone ``where``.
        """
        now, wal = self._store.confirm_service(service, by), self._backups.bases.wal
        wal.ensure_possible(now)
        found = self.times(now, by)
        archive = self._store.open_wal_archive(now.id)
        if archive is not None and found and found[-1].archive.id == archive.id and at > found[-1].until:
            try:
                wal.switch(now, archive, threading.Event())
            except GitshipError as error:
                newest = written(found[-1].until, where)
                raise ServiceError(
                    f"what {now.name} wrote last cannot be archived: {error.message}", f"up to {newest} is there"
                ) from error
            return self._source(found[-1].base(at), at)
        return self._source(range_of(found, at, now.name, where).base(at), at)

    def _source(self, backup: StoredBackup, at: float | None) -> RestoreSource:
        goal = self._backups.bases.goal(backup, at) if backup.is_base else None
        return RestoreSource(
            self._store.backup_target(backup.target_id), backup.key, backup.encrypted, backup.engine, backup.version,
            backup.sha256, backup=backup, goal=goal, exact=at == backup.as_of,
        )  # fmt: skip

    def source_at(self, target: StoredTarget, key: str, by: Identity) -> RestoreSource:
        """Of an object at a target, of whichever it was. Raises NotFound."""
        self._ensure_unlimited(by)
        own = next((b for b in self._store.backups(target_id=target.id) if b.key == key and b.stored), None)
        if own is not None:
            return self._source(own, own.as_of)
        manifest = self._objects.read_manifest(self._objects.at(target), key)
        goal = None
        if manifest.as_of is not None:
            goal = ReplayGoal(manifest.wal, manifest.database, manifest.as_of, target.id)
        return RestoreSource(
            target, key, key.endswith(ENCRYPTED), manifest.engine, manifest.version, manifest.sha256,
            manifest=manifest, goal=goal,
        )  # fmt: skip

    def restore(
        self, source: RestoreSource, name: str, by: Identity, *, memory_bytes: int | None = None
    ) -> ServiceTask:
        """A new service with the data of the backup, and links to nothing; nothing of it stays when that fails."""
        service = self._room.new.record(name, f"{source.engine}:{source.version}", by, memory_bytes=memory_bytes)

        def work(journal: TaskJournal) -> None:
            if source.goal is None:
                fill = self._room.service_dumps.filling(service, self._stored(source), journal)
            else:
                fill = self._backups.bases.filling(service, self._stored(source), source.goal, journal)
            self._room.lifecycle.create(service, journal, fill, before_start=source.goal is not None)
            try:
                journal.detail(self._compared(source, self._store.service(service.id)))
            except BaseException:
                self._room.lifecycle.remove(self._store.service(service.id))
                raise
            journal.line(f"=====> {name} has the data; to lead an app to it: services:promote {name} APP")

        return self._room.new.begin(service, "restore", by, work)

    def restore_volume(self, source: RestoreSource, app: App, name: str, by: Identity) -> ServiceTask:
        """A new volume of the app, mounted nowhere, with the files of the backup; nothing of it stays on failure."""
        name = mounts.volume_name(name)
        self._room.volume_backups.ensure_new(self._store.confirm(app, by), name)
        ensure_unlocked(self._store, app)
        subject = BackupSubject(SubjectKind.VOLUME, app.id, name, f"{app.name}/{name}")

        def work(journal: TaskJournal) -> None:
            now = self._store.confirm(app, by)
            said = self._room.volume_backups.restore(now, name, self._stored(source), source.counts, by, journal)
            journal.detail(said)
            journal.line(f"=====> volume {name} of {now.name} has the files; to use it:")
            for line in self._mounting(now, source, name):
                journal.line(f"       {line}")

        return self._services.tasks.begin(subject, "restore", by, work)

    def _mounting(self, app: App, source: RestoreSource, name: str) -> list[str]:
        """The commands that put the new volume in the place of the one that was backed up."""
        before = source.backup.subject if source.backup is not None else None
        if before is None or before.owner != app.id:
            return [f"storage:mount {app.name} {name}:PATH"]
        own = [m for m in mounts.stored(self._store.app_settings(app.id)) if m.source == before.volume]
        gone = [f"storage:unmount {app.name} {before.volume} --no-restart"] if own else []
        paths = [mount.path for mount in own] or ["PATH"]
        return [*gone, *(f"storage:mount {app.name} {name}:{path}" for path in paths)]

    def _stored(self, source: RestoreSource) -> AbstractContextManager[Iterator[bytes]]:
        place = self._objects.at(self._store.backup_target(source.target.id))
        return self._objects.proved(place, source.key, source.encrypted, source.sha256)

    def _compared(self, source: RestoreSource, service: Service) -> str:
        """Raises ServiceError when other rows came than the dump had."""
        counts = self._room.lifecycle.counts(service, self._room.containers.running(service))
        if source.backup is not None and source.exact:
            return self._room.service_dumps.compare(source.backup, counts)
        known = source.manifest
        if known is not None and known.tables is not None and known.tables != len(counts):
            raise ServiceError(
                f"{len(counts)} of {known.tables} tables came", "use another backup; nothing of this one stays"
            )
        return f"{sum(counts.values()):,} rows in {len(counts)} tables"

    def _ensure_unlimited(self, by: Identity) -> None:
        self._store.confirm_key(by)
        if by.apps is not None:
            raise NoPermission(
                "a target may have backups of what your key may not use", "name the service or volume instead"
            )


def _whole(chunks: Iterator[bytes], meter: Meter, backup: StoredBackup, gone: threading.Event) -> Iterator[bytes]:
    for chunk in chunks:
        if gone.is_set():
            return
        yield chunk
    if meter.sha256 != backup.sha256:
        raise GitshipError(f"{backup.label} came with another SHA-256 than it was stored with", "use another backup")
