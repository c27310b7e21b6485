"""Backups of services, as people ask for them: targets, run, verify, restore into a new service, download, remove."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from gitship.backup.stream import Meter
from gitship.backup.targets import StoredObject, TargetDefinition
from gitship.errors import Conflict, GitshipError, NoPermission, NotFound, ServiceError, UsageError
from gitship.model import Identity
from gitship.model.backups import BackupState, ServiceBackup, StoredTarget
from gitship.model.services import SERVICE_NAME, Service, ServiceTask
from gitship.operations.services import BackingServices
from gitship.operations.shared import Shared
from gitship.services.backup_objects import ENCRYPTED, DumpManifest
from gitship.services.room import ServicesRoom
from gitship.services.tasks import TaskJournal


@dataclass(frozen=True, slots=True)
class RestoreSource:
    """An object at a target, and what is known of it; ``backup`` is this server's record, if it has one."""

    target: StoredTarget
    key: str
    encrypted: bool
    engine: str
    version: str
    sha256: str
    backup: ServiceBackup | None = None
    manifest: DumpManifest | None = None


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
        """All dumps that lie there, also other servers', and of services that are gone."""
        self._ensure_unlimited(by)
        return self._objects.listed(self._objects.at(target))

    # -- backups

    def visible(self, by: Identity) -> list[ServiceBackup]:
        """Those of services that the key may use; of services that are gone only a key of all apps sees them."""
        mine = {service.id for service in self._services.visible(by)}
        return [b for b in self._store.service_backups() if by.apps is None or b.service_id in mine]

    def find(self, service: Service, number: int | None) -> ServiceBackup:
        """By its number; without one the newest verified, or else the newest that is there. Raises NotFound."""
        there = [b for b in self._store.service_backups(service_id=service.id) if b.stored]
        if number is None:
            verified = [b for b in there if b.state is BackupState.VERIFIED]
            found = next(iter(verified or there), None)
        else:
            found = next((b for b in there if b.number == number), None)
        if found is None:
            what = f"no backup {number}" if number is not None else "no backup"
            raise NotFound(f"{service.name} has {what} that can be read", f"see `backups:list {service.name}`")
        return found

    def run(self, service: Service, target: StoredTarget, by: Identity, *, verify: bool = True) -> ServiceTask:
        self._backups.ensure_possible(self._store.confirm_service(service, by))

        def work(journal: TaskJournal) -> None:
            now = self._store.confirm_service(service, by)
            backup = self._backups.run(now, self._store.backup_target(target.id), by.key_name, journal)
            if verify:
                self._backups.verify(now, backup, journal)
            proved = "is verified" if verify else f"is not verified yet: backups:verify {now.name} {backup.number}"
            journal.line(f"=====> {backup.label} {proved}")

        return self._services.tasks.begin(service, "backup", by, work)

    def verify(self, service: Service, backup: ServiceBackup, by: Identity) -> ServiceTask:
        self._store.confirm_service(service, by)

        def work(journal: TaskJournal) -> None:
            now = self._store.confirm_service(service, by)
            self._backups.verify(now, self._store.service_backup(backup.id), journal)
            journal.line(f"=====> {backup.label} is verified")

        return self._services.tasks.begin(service, "verify", by, work)

    def remove(self, service: Service, backup: ServiceBackup, by: Identity) -> None:
        """From its target, for good. Raises Conflict for the newest that is verified."""
        self._store.confirm_service(service, by)
        if backup.state in (BackupState.RUNNING, BackupState.UPLOADED):
            raise Conflict(f"{backup.label} is being made", "wait for its end")
        newest = self._store.last_verified(service.id)
        if newest is not None and newest.id == backup.id:
            raise Conflict(f"{backup.label} is the newest that is verified", "take another first: backups:run")
        self._backups.remove(backup)

    @contextmanager
    def download(
        self, service: Service, backup: ServiceBackup, by: Identity, gone: threading.Event, *, plain: bool
    ) -> Iterator[Iterator[bytes]]:
        """The object as it lies at its target, or the dump itself. The end raises GitshipError unless it was whole."""
        self._store.confirm_service(service, by)
        place = self._objects.at(self._store.backup_target(backup.target_id))
        meter = Meter()
        with self._objects.plain(place, backup.key, backup.encrypted and plain, meter.metered) as chunks:
            yield _whole(chunks, meter, backup, gone)

    # -- restored

    def source_of(self, service: Service, number: int | None, by: Identity) -> RestoreSource:
        """Raises NotFound."""
        self._store.confirm_service(service, by)
        backup = self.find(service, number)
        return RestoreSource(
            self._store.backup_target(backup.target_id), backup.key, backup.encrypted, backup.engine, backup.version,
            backup.sha256, backup=backup,
        )  # fmt: skip

    def source_at(self, target: StoredTarget, key: str, by: Identity) -> RestoreSource:
        """Of an object at a target, of whichever service it was. Raises NotFound."""
        self._ensure_unlimited(by)
        own = next((b for b in self._store.service_backups(target_id=target.id) if b.key == key and b.stored), None)
        if own is not None:
            return RestoreSource(target, key, own.encrypted, own.engine, own.version, own.sha256, backup=own)
        manifest = self._objects.read_manifest(self._objects.at(target), key)
        return RestoreSource(
            target, key, key.endswith(ENCRYPTED), manifest.engine, manifest.version, manifest.sha256, manifest=manifest
        )

    def restore(
        self, source: RestoreSource, name: str, by: Identity, *, memory_bytes: int | None = None
    ) -> ServiceTask:
        """A new service with the data of the backup, and links to nothing; nothing of it stays when that fails."""
        service = self._room.new.record(name, f"{source.engine}:{source.version}", by, memory_bytes=memory_bytes)

        def work(journal: TaskJournal) -> None:
            place = self._objects.at(self._store.backup_target(source.target.id))
            fill = self._backups.filling(service, place, source.key, source.encrypted, source.sha256, journal)
            self._room.lifecycle.create(service, journal, fill)
            try:
                journal.detail(self._compared(source, self._store.service(service.id)))
            except BaseException:
                self._room.lifecycle.remove(self._store.service(service.id))
                raise
            journal.line(f"=====> {name} has the data; to lead an app to it: services:promote {name} APP")

        return self._room.new.begin(service, "restore", by, work)

    def _compared(self, source: RestoreSource, service: Service) -> str:
        """Raises ServiceError when other rows came than the dump had."""
        counts = self._room.lifecycle.counts(service, self._room.containers.running(service))
        if source.backup is not None:
            return self._backups.compare(source.backup, counts)
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
                "a target may have backups of services that your key may not use", "name the service instead"
            )


def _whole(chunks: Iterator[bytes], meter: Meter, backup: ServiceBackup, gone: threading.Event) -> Iterator[bytes]:
    for chunk in chunks:
        if gone.is_set():
            return
        yield chunk
    if meter.sha256 != backup.sha256:
        raise GitshipError(f"{backup.label} came with another SHA-256 than it was stored with", "use another backup")
