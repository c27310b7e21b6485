"""Volumes of apps as backups see them: a tar archive of the files, proved by a restore into a throwaway volume."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from gitship.appsettings import DISCARDED, VOLUME
from gitship.disk.docker_space import ensure_for_images
from gitship.engine import volume_archive
from gitship.engine.interface import Engine
from gitship.engine.volume_content import ContentList
from gitship.errors import Conflict, GitshipError, ServiceError
from gitship.model import App, Identity
from gitship.model.backups import BackupSubject, RowCounts, StoredBackup
from gitship.services.backups import BackupAbout, BackupContent
from gitship.services.tasks import TaskJournal
from gitship.store import Store
from gitship.volumes.lifecycle import VolumeLifecycle


class VolumeBackups:
    """A ``BackupSource``. Safe from any thread."""

    def __init__(self, store: Store, engine: Engine, lifecycle: VolumeLifecycle, min_free_bytes: int) -> None:
        self._store = store
        self._engine = engine
        self._volumes = engine.volumes
        self._min_free_bytes = min_free_bytes
        self._lifecycle = lifecycle

    def about(self, subject: BackupSubject) -> BackupAbout:
        self._lifecycle.named(self._store.app_by_id(subject.owner), subject.volume)
        return BackupAbout()

    @contextmanager
    def reading(self, subject: BackupSubject, journal: TaskJournal) -> Iterator[BackupContent]:
        """While its app runs: a file that is written meanwhile is in it as far as it was written when it was read."""
        app = self._store.app_by_id(subject.owner)
        volume, listed = self._lifecycle.named(app, subject.volume), ContentList()
        with self._lifecycle.moving(app), self._read(app, subject.volume, volume, journal.gone) as chunks:
            yield BackupContent(_whole(listed.noted(chunks), subject, app), lambda: _counts(listed))

    def verified(
        self, backup: StoredBackup, stored: AbstractContextManager[Iterator[bytes]], journal: TaskJournal
    ) -> str:
        app, name = self._store.app_by_id(backup.subject.owner), backup.subject.volume
        with self._lifecycle.moving(app), self._lifecycle.filling(app, name) as made:
            found = self._filled(app, name, made, stored, backup.counts, journal)
        return f"it was restored into a volume of its own: {compare(backup.counts, found, backup.label)}"

    def restore(
        self, app: App, name: str, stored: AbstractContextManager[Iterator[bytes]], wanted: RowCounts, by: Identity,
        journal: TaskJournal,
    ) -> str:  # fmt: skip
        """A new volume of the app with that content; what was compared, for people. Nothing stays when it fails."""
        with (
            self._lifecycle.claim(app, name), self._lifecycle.moving(app), self._lifecycle.filling(app, name) as made,
        ):  # fmt: skip
            said = compare(wanted, self._filled(app, name, made, stored, wanted, journal), "the backup")
            with self._store.acting(app, by) as now:
                self.ensure_new(now, name)
                self._store.change_settings(now.id, VOLUME(name).to(made) | DISCARDED(made).to(None))
        return said

    def ensure_new(self, app: App, name: str) -> None:
        """Raises Conflict."""
        if name in self._lifecycle.of(app):
            raise Conflict(f"{app.name} has a volume '{name}' already", "choose another name with --as")

    def _filled(
        self, app: App, name: str, made: str, stored: AbstractContextManager[Iterator[bytes]], wanted: RowCounts,
        journal: TaskJournal,
    ) -> RowCounts:  # fmt: skip
        """What is in the new volume, read back from it. Raises DeployError when Docker has no room for ``wanted``."""
        ensure_for_images(self._engine, self._min_free_bytes + wanted.after.get("bytes", 0), "a copy of the volume")
        labels = self._lifecycle.labels(app, name)
        with journal.stage("Restoring the files"), stored as chunks:
            self._volumes.write(made, chunks, labels, journal.gone)
        listed = ContentList()
        with journal.stage("Comparing the files"), self._read(app, name, made, journal.gone) as chunks:
            for _ in listed.noted(chunks):
                pass
        return _counts(listed)

    def _read(self, app: App, name: str, volume: str, gone: threading.Event) -> AbstractContextManager[Iterator[bytes]]:
        return self._volumes.read(volume, self._lifecycle.labels(app, name), gone)


def compare(wanted: RowCounts, found: RowCounts, label: str) -> str:
    """Raises ServiceError."""
    files, size = found.after["files"], found.after["bytes"]
    if (wanted.after, wanted.content) != (found.after, found.content):
        had = wanted.after
        raise ServiceError(
            f"{label} had {had.get('files', 0):,} files with {had.get('bytes', 0):,} bytes; restored are {files:,} with"
            f" {size:,}, or other ones",
            "take another backup: backups:run",
        )
    return f"{files:,} files with {size / 1e6:.1f} MB are equal"


def _counts(listed: ContentList) -> RowCounts:
    return RowCounts.exact({"files": listed.files, "bytes": listed.bytes}, listed.sha256)


def _whole(pieces: Iterator[bytes], subject: BackupSubject, app: App) -> Iterator[bytes]:
    try:
        yield from volume_archive.gathered(pieces)
    except volume_archive.BrokenArchive:
        raise GitshipError(
            f"a file of {subject.name} became shorter while it was read",
            f"run it again; or while nothing writes to it: ps:stop {app.name}, then ps:start",
        ) from None
