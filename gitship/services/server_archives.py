"""The whole server as backups see it: one archive of all but logs and images, proved by reading it back whole."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

from gitship import __version__
from gitship.appsettings import VOLUME
from gitship.backup import archive_format
from gitship.backup.create import UNFINISHED, Backups
from gitship.backup.reading import BackupReader
from gitship.backup.restore import DATABASE
from gitship.backup.stream import until_gone
from gitship.errors import GitshipError, ServiceError
from gitship.model.backups import BackupSubject, RowCounts, StoredBackup
from gitship.model.services import ServiceState
from gitship.services.backups import BackupAbout, BackupContent
from gitship.services.engine_catalog import EngineCatalog
from gitship.services.server_dumps import DIRECTORY, WHOLE
from gitship.services.tasks import TaskJournal
from gitship.store import Store


@dataclass(slots=True)
class _Found:
    """What an archive has, as far as it was read."""

    entries: int = 0
    bytes: int = 0
    dumps: set[int] = field(default_factory=set)  # of services, by id
    volumes: set[tuple[int, str]] = field(default_factory=set)  # by the app's id, and what that calls it


class ServerArchives:
    """A ``BackupSource``. Safe from any thread."""

    def __init__(self, backups: Backups, catalog: Callable[[], EngineCatalog], data_dir: Path) -> None:
        self._backups = backups
        self._catalog = catalog
        self._data_dir = data_dir

    def about(self, subject: BackupSubject) -> BackupAbout:
        return BackupAbout("gitship", __version__)

    @contextmanager
    def reading(self, subject: BackupSubject, journal: TaskJournal) -> Iterator[BackupContent]:
        with self._backups.reading(journal.gone) as archive:

            def counts() -> RowCounts:
                made = archive.summary
                assert made is not None  # its pieces have all been read
                for missing in (*made.without, *made.undumped):
                    journal.line(f" !     not in it: {missing}")
                return RowCounts()

            yield BackupContent(archive.pieces, counts)

    def verified(
        self, backup: StoredBackup, stored: AbstractContextManager[Iterator[bytes]], journal: TaskJournal
    ) -> str:
        """Read to its end: each entry is as its manifest says, its database is whole and opens, and it has a dump of
        each service and the content of each volume that the database knows of. Nothing is started from it.
        """
        try:
            with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=self._data_dir) as place:
                database = Path(place) / DATABASE
                with stored as chunks:
                    found = _read(until_gone(chunks, journal.gone), database)
                with closing(Store(database, copies=0)) as store:
                    apps, missing = len(store.apps()), _missing(store, found, self._catalog())
        except OSError as error:
            raise GitshipError(f"it cannot be read back: {error}", "free some space in the data directory") from error
        if missing:
            raise ServiceError(
                f"{backup.label} has no data of {', '.join(missing[:5])}",
                "mend what does not run, then: backups:run server; all else is in this one",
            )
        return (
            f"it was read back whole: {found.entries:,} entries, the database of {apps} apps, {len(found.dumps)} dumps"
            f" of services, {len(found.volumes)} volumes"
        )


def _read(chunks: Iterator[bytes], database: Path) -> _Found:
    """Writes the database to that file. Raises IncompleteBackup."""
    found = _Found()
    for entry in BackupReader(cast("IO[bytes]", _Chunks(chunks))):
        found.entries += 1
        if piece := archive_format.volume_piece(entry.name):
            found.volumes.add((piece.app_id, piece.volume))
        parts = entry.name.removeprefix(archive_format.DATA).split("/")
        if len(parts) == 3 and parts[0] == DIRECTORY and parts[2] == WHOLE and parts[1].isdecimal():
            found.dumps.add(int(parts[1]))
        kept = entry.name == f"{archive_format.DATA}{DATABASE}"
        with database.open("wb") if kept else io.BytesIO() as file:
            for data in entry.content:
                found.bytes += len(data)
                if kept:
                    file.write(data)
    return found


def _missing(store: Store, found: _Found, catalog: EngineCatalog) -> list[str]:
    """Services and volumes of which it has no data, by name."""
    engines = catalog.engines
    services = [
        service.name
        for service in store.services()
        if service.state is ServiceState.READY and service.id not in found.dumps
        and (service.engine not in engines or engines[service.engine].dump is not None)
    ]  # fmt: skip
    volumes = [
        f"{app.name}/{name}"
        for app in store.apps()
        for name in store.app_settings(app.id).all(VOLUME)
        if (app.id, name) not in found.volumes
    ]
    return services + volumes


class _Chunks(io.RawIOBase):
    """Chunks as a file that can be read once."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._given = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        """At most ``size`` bytes, and none only at the end."""
        while not self._rest:
            chunk = next(self._given, None)
            if chunk is None:
                return b""
            self._rest = memoryview(chunk)
        piece = self._rest if size < 0 else self._rest[:size]
        self._rest = self._rest[len(piece) :]
        return bytes(piece)
