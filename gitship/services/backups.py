"""Backups of services: dump, encryption and target in one stream; then proved by a restore into a throwaway server.

A backup's record comes before its object and says what may lie at the target, so that nothing there is forgotten when
gitship is killed: the next one removes what belongs to no backup.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager

from gitship.backup import encryption
from gitship.backup.encryption import DamagedBackup
from gitship.backup.stream import Meter, stalled
from gitship.backup.targets import BackupTarget, StoredObject, Written
from gitship.containers.attach_client import ClientLeft
from gitship.engine.timeouts import WaitInterrupted
from gitship.errors import GitshipError, NotFound, ServiceError
from gitship.model.backups import BackupState, RowCounts, ServiceBackup, StoredTarget
from gitship.model.services import Service
from gitship.services.backup_objects import BackupObjects
from gitship.services.engine_file import EngineAction
from gitship.services.fetch_image import ServiceImages
from gitship.services.lifecycle import ServiceLifecycle
from gitship.services.service_container import ServiceContainers
from gitship.services.service_volumes import ServiceVolumes
from gitship.services.tasks import INTERRUPTED, TaskJournal
from gitship.store import Store

log = logging.getLogger("gitship.services")
STALL_S = 900.0  # of a dump that gives nothing: it may wait for a lock in the database


class ServiceBackups:
    """Safe from any thread. What takes long is the work of a task: see ``ServiceTasks``."""

    def __init__(
        self, store: Store, objects: BackupObjects, images: ServiceImages, containers: ServiceContainers,
        volumes: ServiceVolumes, lifecycle: ServiceLifecycle, stall_s: float = STALL_S,
    ) -> None:  # fmt: skip
        self._store = store
        self.objects = objects
        self._images = images
        self._containers = containers
        self._volumes = volumes
        self._lifecycle = lifecycle
        self._stall_s = stall_s

    def ensure_possible(self, service: Service) -> None:
        """Raises NotFound when its engine has no dump."""
        self._action(service, "dump")

    def run(
        self, service: Service, target: StoredTarget, by: str, journal: TaskJournal, *, schedule: int | None = None
    ) -> ServiceBackup:
        """Dumps the service, and has the target list what came there. Raises GitshipError with nothing left of it."""
        place = self.objects.at(target)
        backup = self._store.begin_backup(service, target, by, schedule=schedule, encrypted=not place.encrypts)
        try:
            with _interruptible():
                return self._run(service, backup, place, journal)
        except BaseException as error:
            self._failed(backup, error)
            self.clear(backup.id)
            raise

    def _run(self, service: Service, backup: ServiceBackup, place: BackupTarget, journal: TaskJournal) -> ServiceBackup:
        key = self.objects.key(service, backup)
        self._store.change_backup(backup.id, key=key, left_there=True)
        container = self._containers.running(service)
        with journal.stage(f"Dumping {service.name} to {backup.target}"):
            before = self._lifecycle.counts(service, container)
            written = self._upload(service, container, backup, key, place, journal)
            after = self._lifecycle.counts(service, container)
            backup = self._store.change_backup(
                backup.id, state=BackupState.UPLOADED, bytes=written.bytes, counts=RowCounts(before, after)
            )
        _ensure_listed(key, written, place.listed(key))
        backup = self._store.change_backup(backup.id, sha256=written.sha256)
        self.objects.write_manifest(place, service, backup)
        backup = self._store.change_backup(
            backup.id, state=BackupState.LISTED, finished_at=time.time(), left_there=False
        )
        journal.detail(f"{backup.label}: {written.bytes / 1e6:.1f} MB at {backup.target}, {key}")
        return backup

    def _upload(
        self, service: Service, container: str, backup: ServiceBackup, key: str, place: BackupTarget,
        journal: TaskJournal,
    ) -> Written:  # fmt: skip
        action, values = self._action(service, "dump"), self._containers.values(service)
        with (
            self._containers.actions.read(container, action, values, journal.gone) as chunks,
            closing(self._sealed(stalled(chunks, self._stall_s, journal.gone), backup, journal)) as stream,
        ):
            return place.put(key, stream, journal.gone)

    def _sealed(
        self, dump: Iterator[bytes], backup: ServiceBackup, journal: TaskJournal
    ) -> Generator[bytes, None, None]:
        if not backup.encrypted:
            yield from dump
            return
        recipients, told = self.objects.recipients()
        for text in told:
            journal.detail(text)
        yield from encryption.encrypted(dump, recipients)

    def verify(self, service: Service, backup: ServiceBackup, journal: TaskJournal) -> ServiceBackup:
        """Restores it into a server of its own, of the backup's version, and compares the rows.

        Raises GitshipError; what is wrong stands in the backup's record then.
        """
        try:
            with _interruptible(), journal.stage(f"Verifying {backup.label}"):
                rows = self._verified(service, backup, journal)
        except _Interrupted as error:  # it says nothing about the backup
            raise ServiceError(error.message, error.hint) from None
        except GitshipError as error:
            broken = isinstance(error, (ServiceError, DamagedBackup, NotFound))  # else it may be as good as it was
            self._store.change_backup(
                backup.id, state=BackupState.FAILED if broken else backup.state,
                reason=f"not verified: {error.message}", hint=error.hint,
            )  # fmt: skip
            raise
        backup = self._store.change_backup(
            backup.id, state=BackupState.VERIFIED, verified_at=time.time(), reason="", hint=""
        )
        journal.detail(f"{backup.label} was restored into a server of its own: {rows}")
        return backup

    def _verified(self, service: Service, backup: ServiceBackup, journal: TaskJournal) -> str:
        image, image_id = service.image, service.image_id
        if backup.version != service.version:
            image = self._containers.engine_of(service).reference(backup.version)
            image_id = self._images.fetch(image, journal)
        with (
            self._volumes.scratch(service, backup.version, image, image_id) as placed,
            self._lifecycle.beside(service, placed, journal, self.fill(service, backup, journal)) as beside,
        ):
            return self.compare(backup, self._lifecycle.counts(service, beside.container))

    def compare(self, backup: ServiceBackup, restored: Mapping[str, int]) -> str:
        """What was counted, for people. Raises ServiceError when the rows are not those of the dump."""
        if wrong := backup.counts.differing(restored):
            raise ServiceError(
                f"{backup.label} was restored, but its rows differ in {', '.join(wrong[:5])}",
                "take another backup: backups:run; if it differs again, compare the tables by hand",
            )
        if not restored and not backup.counts.after:
            return f"its server starts; {backup.engine} cannot count what is in it"
        return f"{sum(restored.values()):,} rows in {len(restored)} tables are equal"

    def fill(self, service: Service, backup: ServiceBackup, journal: TaskJournal) -> Callable[[str], None]:
        """What brings the backup into the server of a container, which may be of another service."""
        place = self.objects.at(self._store.backup_target(backup.target_id))
        return self.filling(service, place, backup.key, backup.encrypted, backup.sha256, journal)

    def filling(
        self, service: Service, place: BackupTarget, key: str, encrypted: bool, sha256: str, journal: TaskJournal
    ) -> Callable[[str], None]:
        """The same for an object at a target. It raises GitshipError also when that is not what was stored."""
        action = self._action(service, "restore")

        def fill(container_id: str) -> None:
            meter = Meter()
            with (
                journal.stage(f"Restoring {key.rpartition('/')[2]}"),
                self.objects.plain(place, key, encrypted, meter.metered) as chunks,
            ):
                values = self._containers.values(service)
                self._containers.actions.write(container_id, action, values, chunks, journal.gone)
                for _ in chunks:  # what the program did not want to read
                    pass
            if meter.sha256 != sha256:
                raise ServiceError(
                    f"the target gives back something else than was stored: SHA-256 {meter.sha256[:16]}...",
                    "use another backup, and look at the target's disk",
                )

        return fill

    # -- removed

    def remove(self, backup: ServiceBackup) -> None:
        """From the target, then its record. Raises GitshipError, and both stay to be removed again."""
        if backup.key:
            self.objects.remove(self.objects.at(self._store.backup_target(backup.target_id)), backup.key)
        self._store.forget_backup(backup.id)

    def clear(self, backup_id: int) -> bool:
        """Removes what a failed one may have left at the target; True when nothing is there. Raises nothing."""
        backup = self._store.service_backup(backup_id)
        if not backup.left:
            return True
        try:
            self.objects.remove(self.objects.at(self._store.backup_target(backup.target_id)), backup.key)
        except GitshipError as error:
            log.warning("%s: %s may be left at %s: %s", backup.label, backup.key, backup.target, error.message)
            return False
        self._store.change_backup(backup.id, left_there=False, sha256="", bytes=0)
        return True

    def _failed(self, backup: ServiceBackup, error: BaseException) -> None:
        told = error if isinstance(error, GitshipError) else GitshipError(f"internal error: {error!r:.200}")
        self._store.change_backup(
            backup.id, state=BackupState.FAILED, finished_at=time.time(), reason=told.message, hint=told.hint
        )

    def _action(self, service: Service, name: str) -> EngineAction:
        return self._containers.action(service, name, ": it cannot be backed up")


class _Interrupted(ServiceError):
    """gitship stops."""


@contextmanager
def _interruptible() -> Iterator[None]:
    """Raises ServiceError in the place of what only streams know."""
    try:
        yield
    except (WaitInterrupted, ClientLeft):
        raise _Interrupted(INTERRUPTED, "run it again") from None


def _ensure_listed(key: str, written: Written, listed: list[StoredObject]) -> None:
    """Raises GitshipError."""
    found = next((stored for stored in listed if stored.key == key), None)
    if found is None or found.bytes != written.bytes or found.sha256 != written.sha256:
        there = "nothing" if found is None else f"{found.bytes} bytes, SHA-256 {(found.sha256 or 'none')[:16]}"
        raise GitshipError(
            f"the target lists {there} in place of {written.bytes} bytes, SHA-256 {written.sha256[:16]}",
            "try again; if it stays, the target loses data: use another",
        )
