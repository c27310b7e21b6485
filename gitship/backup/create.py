"""Creates a backup of the running server: a consistent state of the database, the refs and all they need.

The two are looked at while no deploy can become live. What comes after that moment is not in the backup, whole or in
part: objects that are added meanwhile do no harm, and a deploy that was under way is settled like after a crash.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from gitship import __version__
from gitship.backup import archive_format
from gitship.backup.archive_format import BackupHeader, VolumePiece
from gitship.backup.writing import BackupWriter
from gitship.config import Settings
from gitship.containers.attach_client import ClientLeft
from gitship.engine import volume_archive
from gitship.engine.interface import Volumes
from gitship.engine.timeouts import WaitInterrupted
from gitship.errors import Conflict, GitshipError
from gitship.git import repository_files
from gitship.git.repository import Repositories
from gitship.model import App
from gitship.store import Store
from gitship.store.database_copies import snapshot
from gitship.volumes.lifecycle import VolumeLifecycle

LAST = "last-backup"  # the server's setting: when the newest whole backup was made, and what was in it
UNFINISHED = ".backup-"
WAIT_S = 1.0  # between two looks whether whoever waits for another backup has gone
# Dumps of services: names below the data directory, with the content; to the list is added who could not be dumped.
ServicePieces = Callable[[threading.Event, list[str]], Iterator[tuple[str, bytes]]]


def _none() -> Generator[bytes, None, None]:
    yield from ()


@dataclass(frozen=True, slots=True)
class BackupSummary:
    """What a backup came to."""

    bytes: int
    entries: int
    apps: int
    volumes: int
    without: tuple[str, ...] = ()  # apps whose repository was not there: all else of them is in it
    undumped: tuple[str, ...] = ()  # services that could not be dumped, each with the reason


@dataclass(slots=True)
class ServerArchive:
    """An archive that is being made: ``summary`` is there once ``pieces`` have been read to their end."""

    pieces: Generator[bytes, None, None] = field(default_factory=_none)
    summary: BackupSummary | None = None


@dataclass(frozen=True, slots=True)
class _Repository:
    """An app's refs as they were when the database was."""

    app: App
    refs: dict[str, str]
    head: str
    there: bool = True


class Backups:
    """Safe from any thread; one backup at a time."""

    def __init__(
        self, settings: Settings, config: Path | None, store: Store, repositories: Repositories, volumes: Volumes,
        volume_lifecycle: VolumeLifecycle,
    ) -> None:  # fmt: skip
        """``config`` is the settings' own file, when there is one."""
        self._settings = settings
        self._config = config
        self._store = store
        self._repositories = repositories
        self._volumes = volumes
        self._volume_lifecycle = volume_lifecycle
        self._one = threading.Lock()
        self.service_pieces: ServicePieces = lambda gone, failed: iter(())  # the daemon sets it

    def sweep(self) -> None:
        """Removes what a backup of a gitship that was killed had not finished."""
        for left in self._settings.data_dir.glob(f"{UNFINISHED}*"):
            shutil.rmtree(left, ignore_errors=True)

    def write(
        self, write: Callable[[bytes], object], gone: threading.Event, *, logs: bool = False, volumes: bool = False,
        services: bool = False,
    ) -> BackupSummary:  # fmt: skip
        """Hands the archive over as it is made. Raises ClientLeft when ``write`` fails or ``gone`` is set.

        Raises GitshipError (Conflict while another is made); what was handed over is then no whole archive.
        """
        if not self._one.acquire(blocking=False):
            raise Conflict("another backup is in progress", "wait for it to finish")
        try:
            archive = ServerArchive()
            for piece in self._pieces(archive, gone, logs, volumes, services):
                try:
                    write(piece)
                except OSError:
                    raise ClientLeft from None
            return self._noted(archive)
        finally:
            self._one.release()

    @contextmanager
    def reading(self, gone: threading.Event) -> Iterator[ServerArchive]:
        """The archive of all but logs, to be read. Waits while another is made.

        Reading raises ClientLeft when ``gone`` is set.
        """
        while not self._one.acquire(timeout=WAIT_S):
            if gone.is_set():
                raise ClientLeft
        try:
            archive = ServerArchive()
            archive.pieces = self._pieces(archive, gone, False, True, True)
            with closing(archive.pieces):
                yield archive
        finally:
            self._one.release()

    def _noted(self, archive: ServerArchive) -> BackupSummary:
        """That the archive is whole, and where it was to go: `gitship doctor` knows of it from now on."""
        assert archive.summary is not None
        self._store.set_server_setting(LAST, {"at": time.time(), **dataclasses.asdict(archive.summary)})
        return archive.summary

    def _pieces(
        self, archive: ServerArchive, gone: threading.Event, logs: bool, volumes: bool, services: bool
    ) -> Generator[bytes, None, None]:
        undumped: list[str] = []
        sent = 0
        writer = BackupWriter()
        apps = self._store.apps()
        held = sum(len(self._volume_lifecycle.of(app)) for app in apps) if volumes else 0
        with ExitStack() as ends:
            for piece in volume_archive.gathered(self._entries(writer, ends, logs, volumes, services, undumped, gone)):
                if gone.is_set():
                    raise ClientLeft
                yield piece
                sent += len(piece)
        without = tuple(app.name for app in apps if not self._repositories.has(app.name))
        archive.summary = BackupSummary(sent, writer.count, len(apps), held, without, tuple(undumped))

    def _entries(
        self, writer: BackupWriter, ends: ExitStack, logs: bool, volumes: bool, services: bool, undumped: list[str],
        gone: threading.Event,
    ) -> Iterator[bytes]:  # fmt: skip
        try:
            place = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=self._settings.data_dir))
            ends.callback(shutil.rmtree, place, ignore_errors=True)
            ends.enter_context(self._repositories.unpacked)  # nothing is packed anew, and so no object moves
            repositories = self._freeze(place / "gitship.db")
            yield from writer.document(
                archive_format.HEADER, dataclasses.asdict(self._about(len(repositories), logs, volumes))
            )
            if self._config is not None:
                yield from writer.data(archive_format.CONFIG, self._config.read_bytes())
            yield from writer.file(f"{archive_format.DATA}gitship.db", place / "gitship.db")
            (place / "gitship.db").unlink()
            yield from self._own_files(writer, logs)
            for repository in repositories:
                yield from self._repository(writer, repository)
            if volumes:
                for repository in repositories:
                    yield from self._volumes_of(writer, repository.app, gone)
            if services:
                yield from self._services(writer, undumped, gone)
            yield from writer.end()
        except OSError as error:
            raise GitshipError(
                f"the backup is incomplete: {error}",
                "run server:backup again; an app may have been destroyed during it",
            ) from error

    def _services(self, writer: BackupWriter, undumped: list[str], gone: threading.Event) -> Iterator[bytes]:
        """Their dumps, as files of the data directory: the server that is restored makes them again from these."""
        try:
            for name, content in self.service_pieces(gone, undumped):
                yield from writer.data(f"{archive_format.DATA}{name}", content)
        except WaitInterrupted:
            raise ClientLeft from None

    def _about(self, apps: int, logs: bool, volumes: bool) -> BackupHeader:
        return BackupHeader(
            archive_format.FORMAT, __version__, time.time(), self._store.server_id(), apps, logs, volumes
        )

    def _freeze(self, target: Path) -> list[_Repository]:
        """One state: the database goes to ``target``, and the refs are those that belong to it."""
        with ExitStack() as reader:
            with self._store.transaction():  # no deploy becomes live between the two looks
                state = reader.enter_context(self._store.frozen())
                found = []
                for app in self._store.apps():
                    if not self._repositories.has(app.name):  # somebody took it off the disk
                        found.append(_Repository(app, {}, "refs/heads/main", there=False))
                        continue
                    repository = self._repositories.open(app.name)
                    found.append(_Repository(app, repository.refs(), repository.head()))
            snapshot(state, target)
        return found

    def _own_files(self, writer: BackupWriter, logs: bool) -> Iterator[bytes]:
        settings = self._settings
        if settings.backup_key.exists():  # without it the backups of services can be read with an admin's key alone
            yield from writer.file(self._name(settings.backup_key), settings.backup_key)
        for key in (settings.host_key, settings.local_key):
            for path in (key, key.with_name(f"{key.name}.pub")):
                if path.exists():
                    yield from writer.file(self._name(path), path)
        trees = [settings.hooks_dir, settings.engines_dir, settings.certificates, settings.acme_accounts]
        for tree in [*trees, settings.logs] if logs else trees:
            yield from self._tree(writer, tree)

    def _tree(self, writer: BackupWriter, root: Path) -> Iterator[bytes]:
        """All files; those that go while they are looked at, such as logs of an app that is destroyed, are left out."""
        for place, directories, names in os.walk(root):
            directories.sort()
            here = Path(place)
            with suppress(FileNotFoundError):
                yield from writer.directory(self._name(here), here.stat().st_mode & 0o777)
            for path in (here / name for name in sorted(names)):
                if path.is_symlink():
                    yield from writer.link(self._name(path), str(path.readlink()))
                elif path.is_file() and not path.name.startswith(".keeping-"):
                    try:
                        opened = writer.file(self._name(path), path)
                        head = next(opened)
                    except FileNotFoundError:
                        continue
                    yield head
                    yield from opened

    def _name(self, path: Path) -> str:
        return f"{archive_format.DATA}{path.relative_to(self._settings.data_dir)}"

    def _repository(self, writer: BackupWriter, found: _Repository) -> Iterator[bytes]:
        """Under the name that the database has, even if the app is called otherwise by now."""
        name = f"{archive_format.DATA}repos/{found.app.name}.git"
        for directory in repository_files.DIRECTORIES:
            yield from writer.directory(f"{name}/{directory}".rstrip("/"), 0o755)
        if found.there:
            repository = self._repositories.open(self._store.app_by_id(found.app.id).name)
            for path in repository_files.files(repository):
                yield from writer.file(f"{name}/{path.relative_to(repository.path)}", path)
        yield from writer.data(f"{name}/packed-refs", repository_files.packed_refs(found.refs), 0o644)
        yield from writer.data(f"{name}/HEAD", repository_files.head(found.head), 0o644)

    def _volumes_of(self, writer: BackupWriter, app: App, gone: threading.Event) -> Iterator[bytes]:
        for name, volume in sorted(self._volume_lifecycle.of(app).items()):
            try:
                with (
                    self._volume_lifecycle.moving(app),
                    self._volumes.read(volume, self._volume_lifecycle.labels(app, name), gone) as read,
                ):
                    for number, piece in enumerate(
                        volume_archive.gathered(volume_archive.whole(read), archive_format.PIECE_BYTES)
                    ):
                        yield from writer.data(VolumePiece(app.id, name, number).entry, piece)
            except WaitInterrupted:
                raise ClientLeft from None
            except volume_archive.BrokenArchive:
                raise GitshipError(
                    f"volume {name} of {app.name} changed while it was read",
                    f"run it again, or while nothing writes to it: `ps:stop {app.name}`",
                ) from None
