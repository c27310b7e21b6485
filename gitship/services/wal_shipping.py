"""WAL from a service's spool to its target: in order, each file whole or not there, and removed once it is there.

Whatever gitship was at when it was killed is done again: a file is put under the same key, and what the record says to
be there is only removed. When one is missing, the archive is closed: nothing after a hole can be replayed.
"""

from __future__ import annotations

import logging
import threading
import time
import zlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from gitship.backup import encryption
from gitship.backup.encryption import DamagedBackup
from gitship.backup.stream import CHUNK_BYTES, stalled
from gitship.backup.targets import BackupTarget
from gitship.errors import GitshipError, NotFound, ServiceError
from gitship.model.backups import BackupSchedule, BackupState, BackupSubject, WalArchive
from gitship.model.services import Service
from gitship.services import wal_names
from gitship.services.backup_objects import BackupObjects
from gitship.services.service_container import ServiceContainers
from gitship.store import Store

log = logging.getLogger("gitship.services")
ACTION_S = 60.0
STALL_S = 60.0  # of a spool that gives nothing
LOOK_S = 0.25
SEEN_S = 60.0  # between two records of an archive to which nothing comes
SWITCHED_S = 120.0  # from the end of a segment to its end at the target
MOST_BYTES = 1 << 30  # of a segment, by PostgreSQL's own limit
GAP = "gap"
MADE = frozenset({BackupState.RUNNING, BackupState.UPLOADED})  # without a hash yet


@dataclass(frozen=True, slots=True)
class SpoolFile:
    """``at`` is when it was written, in epoch seconds."""

    name: str
    bytes: int
    at: float


class WalShipping:
    """Safe from any thread; one at a time ships what a service has."""

    def __init__(self, store: Store, objects: BackupObjects, containers: ServiceContainers) -> None:
        self._store = store
        self._objects = objects
        self._containers = containers
        self._lock = threading.Lock()
        self._shipping: dict[int, threading.Lock] = {}  # by service

    def ensure_possible(self, service: Service, place: BackupTarget | None = None) -> None:
        """Raises NotFound when the engine has no point in time, ServiceError for a target that cannot have it."""
        self._containers.action(service, "base", ": it has no point in time")
        if place is not None and place.encrypts:
            raise ServiceError(
                "a restic repository is too slow for a point in time: it would get a snapshot for each minute",
                "use an S3 or directory target; restic can have the dumps",
            )

    def open(self, service: Service, schedule: BackupSchedule, gone: threading.Event) -> WalArchive:
        """The archive that is open, or a new one, which then has begun. Raises GitshipError."""
        archive = self._store.open_wal_archive(service.id)
        if archive is not None:
            archive = self.ship(archive, gone)
        if archive is None or archive.closed_at is not None:
            archive = self.ship(self._store.open_archive(service, schedule), gone)
        return archive

    def ship(self, archive: WalArchive, gone: threading.Event, limit_s: float = SWITCHED_S) -> WalArchive:
        """Brings the spool to the target, or ends the archive if it has to; the archive as it is then.

        What is wrong stands in the record, too. Raises GitshipError; ServiceError after ``limit_s`` behind another.
        """
        with self._lock:
            mine = self._shipping.setdefault(archive.service_id, threading.Lock())
        if not mine.acquire(timeout=limit_s):
            raise ServiceError(f"the target {archive.target} takes too long", "see `backups:times`")
        try:
            archive = self._store.wal_archive(archive.id)
            if archive.closed_at is None:
                archive = self._shipped(archive, gone)
        except GitshipError as error:
            self._store.change_wal_archive(archive.id, reason=error.message, hint=error.hint)
            raise
        finally:
            mine.release()
        return archive

    def switch(self, service: Service, archive: WalArchive, gone: threading.Event) -> str:
        """Brings all that is written until now to the target; the last segment's name. Raises GitshipError."""
        action, values = self._containers.action(service, "wal_switch"), self._containers.values(service)
        said = self._containers.actions.output(self._containers.running(service), action, values, ACTION_S).strip()
        if not wal_names.SEGMENT.fullmatch(said):
            raise ServiceError(f"the service printed {said[:80]!r} in place of a segment", "check its engine's file")
        deadline = time.monotonic() + SWITCHED_S
        while True:
            archive = self.ship(archive, gone, max(0.0, deadline - time.monotonic()))
            if archive.closed_at is not None:
                raise ServiceError(f"the WAL archive of {archive.service} ended: {archive.reason}", "try again")
            if archive.last_segment >= said:
                return said
            if time.monotonic() > deadline or gone.wait(LOOK_S):
                raise ServiceError(
                    f"segment {said} of {service.name} did not come", f"see services:logs {service.name}"
                )

    def stop(self, service: Service) -> None:
        """Ends the spool, also one that no archive knows of any more. Raises GitshipError."""
        action, values = self._containers.action(service, "wal_stop"), self._containers.values(service)
        self._containers.actions.output(self._containers.running(service), action, values, ACTION_S)

    def place(self, target_id: int) -> BackupTarget:
        return self._objects.at(self._store.backup_target(target_id))

    @contextmanager
    def read(self, archive_folder: str, place: BackupTarget, name: str) -> Iterator[Iterator[bytes]]:
        """A file of an archive in plain; its end raises DamagedBackup unless it is whole. Raises NotFound."""
        with place.read(wal_names.key(archive_folder, name)) as chunks:
            yield _unzipped(encryption.decrypted(chunks, self._objects.identity()), name)

    def prune(self, subject: BackupSubject) -> None:
        """Removes WAL that no backup needs any more, and archives that have ended without one. Raises GitshipError."""
        backups = self._store.backups(subject)
        for archive in self._store.wal_archives(subject.owner):
            needed = [b.wal_start for b in backups if b.archive_id == archive.id and (b.stored or b.state in MADE)]
            place = self.place(archive.target_id)
            if archive.closed_at is None and not needed:
                continue
            last = wal_names.following(archive.last_segment) if archive.last_segment else ""
            for name in wal_names.before(archive.first_segment, min(needed, default=last)):
                place.remove(wal_names.key(archive.folder, name))
                self._store.change_wal_archive(archive.id, first_segment=wal_names.following(name))
            if not needed and not any(b.archive_id == archive.id for b in backups):
                if archive.last_segment:
                    place.remove(wal_names.key(archive.folder, f"{archive.last_segment[:8]}.history"))
                self._store.forget_wal_archive(archive.id)

    # -- within

    def _shipped(self, archive: WalArchive, gone: threading.Event) -> WalArchive:
        schedules = [s for s in self._store.backup_schedules(archive.subject) if s.id == archive.schedule_id]
        try:
            service = self._store.service(archive.service_id)
        except NotFound:
            return self._close(archive, "the service was destroyed")
        if service.volume != archive.volume:
            return self._close(archive, "its data were replaced")
        container, values = self._containers.running(service), self._containers.values(service)
        run = self._containers.actions.output
        if not schedules:
            self.stop(service)
            return self._close(archive, "it was switched off")
        if archive.seen_at is None:
            kb = str(archive.spool_bytes >> 10)
            start = self._containers.action(service, "wal_start")
            run(container, start, {**values, "spool_kb": kb}, ACTION_S)
            archive = self._store.change_wal_archive(archive.id, seen_at=time.time())
        now = time.time()
        files, hole = self._listed(service, container)
        for file in files:
            if gone.is_set():
                raise ServiceError("gitship is stopping", "it goes on when it is back")
            expected = wal_names.following(archive.last_segment) if archive.last_segment else file.name
            if wal_names.SEGMENT.fullmatch(file.name) and file.name > expected:
                return self._close(archive, f"the segment {expected} is missing", hole=True)
            archive = self._ship_file(service, container, archive, file, gone)
        if hole:
            why = f" while {archive.reason}" if archive.reason else ""
            return self._close(archive, f"the spool of {archive.spool_bytes >> 20} MB was full{why}", hole=True)
        if archive.reason or now - (archive.seen_at or 0.0) > SEEN_S or files:
            archive = self._store.change_wal_archive(archive.id, seen_at=now, reason="", hint="")
        return archive

    def _ship_file(
        self, service: Service, container: str, archive: WalArchive, file: SpoolFile, gone: threading.Event
    ) -> WalArchive:
        values = self._containers.values(service) | {"segment": file.name}
        history = wal_names.SEGMENT.fullmatch(file.name) is None
        if history or file.name > archive.last_segment:
            place = self.place(archive.target_id)
            action, stuck = self._containers.action(service, "wal_read"), threading.Event()
            with (
                self._containers.actions.read(container, action, values, stuck) as chunks,
                closing(self._sealed(stalled(chunks, STALL_S, stuck, "the spool"), file)) as sealed,
            ):
                place.put(wal_names.key(archive.folder, file.name), sealed, gone)
        if not history and file.name > archive.last_segment:
            archive = self._store.change_wal_archive(
                archive.id, first_segment=archive.first_segment or file.name, last_segment=file.name, last_at=file.at
            )
        action = self._containers.action(service, "wal_remove")
        self._containers.actions.output(container, action, values, ACTION_S)
        return archive

    def _sealed(self, chunks: Iterator[bytes], file: SpoolFile) -> Generator[bytes, None, None]:
        yield from encryption.encrypted(_zipped(chunks, file), self._objects.recipients()[0])

    def _listed(self, service: Service, container: str) -> tuple[list[SpoolFile], bool]:
        """The files by name, and whether something was dropped after them. Raises ServiceError."""
        action, values = self._containers.action(service, "wal_list"), self._containers.values(service)
        lines = self._containers.actions.output(container, action, values, ACTION_S).splitlines()
        return sorted((_file(line) for line in lines if line != GAP), key=lambda file: file.name), GAP in lines

    def _close(self, archive: WalArchive, reason: str, *, hole: bool = False) -> WalArchive:
        log.log(logging.WARNING if hole else logging.INFO, "WAL of %s ends: %s", archive.service, reason)
        hint = "a new base backup is made; nothing between can be restored" if hole else ""
        return self._store.change_wal_archive(archive.id, closed_at=time.time(), told_at=None, reason=reason, hint=hint)


def _file(line: str) -> SpoolFile:
    """Raises ServiceError."""
    name, *rest = line.split("\t")
    if not wal_names.FILE.fullmatch(name) or len(rest) != 2 or not all(word.isdecimal() for word in rest):
        raise ServiceError(
            f"the service printed {line[:80]!r} in place of a file of its spool", "check its engine's file"
        )
    return SpoolFile(name, int(rest[0]), float(rest[1]))


def _zipped(chunks: Iterable[bytes], file: SpoolFile) -> Iterator[bytes]:
    """Raises ServiceError when the file is not as long as it was listed."""
    packer = zlib.compressobj(1, wbits=31)
    count = 0
    for chunk in chunks:
        count += len(chunk)
        if count > min(file.bytes, MOST_BYTES):
            break
        yield packer.compress(chunk)
    if count != file.bytes:
        raise ServiceError(f"{file.name} of {file.bytes} bytes came with {count}", "it is tried again")
    yield packer.flush()


def _unzipped(chunks: Iterable[bytes], name: str) -> Iterator[bytes]:
    """Raises DamagedBackup unless it ends as it should."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        for chunk in chunks:
            left = chunk
            while left:
                yield unpacker.decompress(left, CHUNK_BYTES)
                left = unpacker.unconsumed_tail
    except zlib.error as error:
        raise DamagedBackup(f"{name} cannot be unpacked: {error}", "use an earlier time") from None
    if not unpacker.eof:
        raise DamagedBackup(f"{name} is cut off", "use an earlier time")
