"""Services as backups see them: dumped by their engine's own tool, proved by a restore into a throwaway server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from gitship.errors import ServiceError
from gitship.model.backups import BackupSubject, StoredBackup
from gitship.model.services import Service
from gitship.services.backups import BackupAbout, BackupContent
from gitship.services.fetch_image import ServiceImages
from gitship.services.lifecycle import Fill, ServiceLifecycle
from gitship.services.service_container import ServiceContainers
from gitship.services.service_volumes import ServiceVolumes
from gitship.services.tasks import TaskJournal
from gitship.store import Store


class ServiceDumps:
    """A ``BackupSource``. Safe from any thread."""

    def __init__(
        self, store: Store, images: ServiceImages, containers: ServiceContainers, volumes: ServiceVolumes,
        lifecycle: ServiceLifecycle,
    ) -> None:  # fmt: skip
        self._store = store
        self._images = images
        self._containers = containers
        self._volumes = volumes
        self._lifecycle = lifecycle

    def about(self, subject: BackupSubject) -> BackupAbout:
        service = self._store.service(subject.owner)
        self._containers.action(service, "dump", ": it cannot be backed up")
        return BackupAbout(service.engine, service.version, service.database)

    @contextmanager
    def reading(self, subject: BackupSubject, journal: TaskJournal) -> Iterator[BackupContent]:
        service = self._store.service(subject.owner)
        container = self._containers.running(service)
        with self._lifecycle.dumped(service, container, journal.gone) as (chunks, counts):
            yield BackupContent(chunks, counts)

    def verified(
        self, backup: StoredBackup, stored: AbstractContextManager[Iterator[bytes]], journal: TaskJournal
    ) -> str:
        service = self._store.service(backup.subject.owner)
        return self.proved(backup, backup, self.filling(service, stored, journal), journal)

    def proved(
        self, backup: StoredBackup, until: StoredBackup, fill: Fill, journal: TaskJournal, *, before_start: bool = False
    ) -> str:
        """In a server of the backup's version, which no app reaches; it has to have the rows of ``until``."""
        service = self._store.service(backup.subject.owner)
        image, image_id = service.image, service.image_id
        if backup.version != service.version:
            image = self._containers.engine_of(service).reference(backup.version)
            image_id = self._images.fetch(image, journal)
        with (
            self._volumes.scratch(service, backup.version, image, image_id) as placed,
            self._lifecycle.beside(service, placed, journal, fill, before_start=before_start) as beside,
        ):
            rows = self.compare(until, self._lifecycle.counts(service, beside.container))
        return f"it was restored into a server of its own: {rows}"

    def filling(self, service: Service, stored: AbstractContextManager[Iterator[bytes]], journal: TaskJournal) -> Fill:
        """What brings a dump into the server of a container; it raises GitshipError also when ``stored`` does."""
        action = self._containers.action(service, "restore")

        def fill(container_id: str) -> None:
            with journal.stage("Restoring the dump"), stored as chunks:
                values = self._containers.values(service)
                self._containers.actions.write(container_id, action, values, chunks, journal.gone)

        return fill

    def compare(self, backup: StoredBackup, restored: Mapping[str, int]) -> str:
        """What was counted, for people. Raises ServiceError when the rows are not those of the dump."""
        if wrong := backup.counts.differing(restored):
            raise ServiceError(
                f"{backup.label} was restored, but its rows differ in {', '.join(wrong[:5])}",
                "take another backup: backups:run; if it differs again, compare the tables by hand",
            )
        if not restored and not backup.counts.after:
            return f"its server starts; {backup.engine} cannot count what is in it"
        return f"{sum(restored.values()):,} rows in {len(restored)} tables are equal"
