"""Backups of services, volumes and the server: content, encryption and target in one stream; then proved.

A backup's record comes before its object and says what may lie at the target, so that nothing there is forgotten when
gitship is killed: the next one removes what belongs to no backup.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gitship.backup import encryption
from gitship.backup.archive_format import IncompleteBackup
from gitship.backup.encryption import DamagedBackup
from gitship.backup.stream import stalled
from gitship.backup.targets import BackupTarget, StoredObject, Written
from gitship.containers.attach_client import ClientLeft
from gitship.engine.timeouts import WaitInterrupted
from gitship.engine.volume_archive import BrokenArchive
from gitship.errors import GitshipError, NotFound, ServiceError
from gitship.model.backups import BackupState, BackupSubject, RowCounts, StoredBackup, StoredTarget, SubjectKind
from gitship.services.backup_objects import BackupObjects
from gitship.services.tasks import INTERRUPTED, TaskJournal
from gitship.store import Store

if TYPE_CHECKING:
    from gitship.services.service_bases import ServiceBases

log = logging.getLogger("gitship.services")
SERVER_STALLS = 8
STALL_S = 900.0  # of content that does not come: a dump may wait for a lock in the database


@dataclass(frozen=True, slots=True)
class BackupAbout:
    """What a backup is made of: its engine and that one's version, and what is inside; each may be ""."""

    engine: str = ""
    version: str = ""
    database: str = ""


@dataclass(frozen=True, slots=True)
class BackupContent:
    """``chunks`` to their end, then ``counts``."""

    chunks: Iterator[bytes]
    counts: Callable[[], RowCounts]


class BackupSource(Protocol):
    """What of one kind is backed up, and how that is proved. Every method raises GitshipError."""

    def about(self, subject: BackupSubject) -> BackupAbout:
        """Raises NotFound when it is gone, or cannot be backed up."""

    def reading(self, subject: BackupSubject, journal: TaskJournal) -> AbstractContextManager[BackupContent]:
        """The content of now. Its chunks raise ``WaitInterrupted`` or ClientLeft when ``journal.gone`` is set."""

    def verified(
        self, backup: StoredBackup, stored: AbstractContextManager[Iterator[bytes]], journal: TaskJournal
    ) -> str:
        """Restores what ``stored`` gives into something of its own, and compares it; what was compared, for people.

        Raises ServiceError when it is not what was backed up.
        """


class BackupRuns:
    """Safe from any thread. What takes long is the work of a task: see ``ServiceTasks``."""

    def __init__(
        self, store: Store, objects: BackupObjects, sources: Mapping[SubjectKind, BackupSource],
        bases: ServiceBases, stall_s: float = STALL_S,
    ) -> None:  # fmt: skip
        self._store = store
        self.objects = objects
        self._sources = sources
        self.bases = bases
        self._stall_s = stall_s

    def ensure_possible(self, subject: BackupSubject) -> None:
        """Raises NotFound when it is gone, or cannot be backed up."""
        self._sources[subject.kind].about(subject)

    def run(
        self, subject: BackupSubject, target: StoredTarget, by: str, journal: TaskJournal, *,
        schedule: int | None = None,
    ) -> StoredBackup:  # fmt: skip
        """Sends it there, and has the target list what came. Raises GitshipError with nothing left of it.

        A schedule for a point in time has a base made, and the WAL archive that goes on from it.
        """
        place, about = self.objects.at(target), self._sources[subject.kind].about(subject)
        own = [one for one in self._store.backup_schedules(subject) if one.id == schedule and one.point_in_time]
        archive = self.bases.archive(own[0], journal) if own else None
        backup = self._store.begin_backup(
            subject, target, by, engine=about.engine, version=about.version, schedule=schedule,
            encrypted=not place.encrypts, archive_id=archive,
        )  # fmt: skip
        try:
            with _interruptible():
                return self._run(backup, about, place, journal)
        except BaseException as error:
            self._failed(backup, error)
            self.clear(backup.id)
            raise

    def _run(self, backup: StoredBackup, about: BackupAbout, place: BackupTarget, journal: TaskJournal) -> StoredBackup:
        key, subject = self.objects.key(backup), backup.subject
        self._store.change_backup(backup.id, key=key, left_there=True)
        with (
            journal.stage(f"Backing up {subject.name} to {backup.target}"),
            self._source(backup).reading(subject, journal) as content,
        ):
            # Of a server no data come while one dump after the other is waited for in vain.
            limit_s = self._stall_s * (SERVER_STALLS if subject.kind is SubjectKind.SERVER else 1)
            chunks = stalled(content.chunks, limit_s, journal.gone, subject.name)
            with closing(self._sealed(chunks, backup, journal)) as stream:
                written = place.put(key, stream, journal.gone)
            backup = self._store.change_backup(
                backup.id, state=BackupState.UPLOADED, bytes=written.bytes, counts=content.counts()
            )
        _ensure_listed(key, written, place.listed(key))
        backup = self._store.change_backup(backup.id, sha256=written.sha256)
        self.objects.write_manifest(place, backup, about.database)
        backup = self._store.change_backup(
            backup.id, state=BackupState.LISTED, finished_at=time.time(), left_there=False
        )
        journal.detail(f"{backup.label}: {written.bytes / 1e6:.1f} MB at {backup.target}, {key}")
        return backup

    def _sealed(
        self, content: Iterator[bytes], backup: StoredBackup, journal: TaskJournal
    ) -> Generator[bytes, None, None]:
        if not backup.encrypted:
            yield from content
            return
        recipients, told = self.objects.recipients()
        for text in told:
            journal.detail(text)
        yield from encryption.encrypted(content, recipients)

    def _source(self, backup: StoredBackup) -> BackupSource:
        return self.bases if backup.is_base else self._sources[backup.subject.kind]

    def verify(self, backup: StoredBackup, journal: TaskJournal) -> StoredBackup:
        """Raises GitshipError; what is wrong stands in the backup's record then."""
        stored = self.stored(backup)
        return self._proved(backup, lambda: self._source(backup).verified(backup, stored, journal), journal)

    def verify_until(self, base: StoredBackup, until: StoredBackup, journal: TaskJournal) -> StoredBackup:
        """The same; the base is taken by WAL to where ``until``, a later one, began, and has to have its rows."""
        stored = self.stored(base)
        return self._proved(base, lambda: self.bases.verified_until(base, until, stored, journal), journal)

    def _proved(self, backup: StoredBackup, prove: Callable[[], str], journal: TaskJournal) -> StoredBackup:
        try:
            with _interruptible(), journal.stage(f"Verifying {backup.label}"):
                proof = prove()
        except _Interrupted as error:  # it says nothing about the backup
            raise ServiceError(error.message, error.hint) from None
        except GitshipError as error:
            broken = isinstance(error, _BROKEN) and not journal.gone.is_set()  # else it may be as good as it was
            self._store.change_backup(
                backup.id, state=BackupState.FAILED if broken else backup.state,
                reason=f"not verified: {error.message}", hint=error.hint,
            )  # fmt: skip
            raise
        backup = self._store.change_backup(
            backup.id, state=BackupState.VERIFIED, verified_at=time.time(), reason="", hint=""
        )
        journal.detail(f"{backup.label}: {proof}")
        return backup

    def stored(self, backup: StoredBackup) -> AbstractContextManager[Iterator[bytes]]:
        """Its content, as ``BackupObjects.proved`` gives it."""
        place = self.objects.at(self._store.backup_target(backup.target_id))
        return self.objects.proved(place, backup.key, backup.encrypted, backup.sha256)

    # -- removed

    def remove(self, backup: StoredBackup) -> None:
        """From the target, then its record. Raises GitshipError, and both stay to be removed again."""
        if backup.key:
            self.objects.remove(self.objects.at(self._store.backup_target(backup.target_id)), backup.key)
        self._store.forget_backup(backup.id)

    def clear(self, backup_id: int) -> bool:
        """Removes what a failed one may have left at the target; True when nothing is there. Raises nothing."""
        backup = self._store.backup(backup_id)
        if not backup.left:
            return True
        try:
            self.objects.remove(self.objects.at(self._store.backup_target(backup.target_id)), backup.key)
        except GitshipError as error:
            log.warning("%s: %s may be left at %s: %s", backup.label, backup.key, backup.target, error.message)
            return False
        self._store.change_backup(backup.id, left_there=False, sha256="", bytes=0)
        return True

    def _failed(self, backup: StoredBackup, error: BaseException) -> None:
        told = error if isinstance(error, GitshipError) else GitshipError(f"internal error: {error!r:.200}")
        self._store.change_backup(
            backup.id, state=BackupState.FAILED, finished_at=time.time(), reason=told.message, hint=told.hint
        )


_BROKEN = (ServiceError, DamagedBackup, IncompleteBackup, BrokenArchive, NotFound)  # said of the backup itself


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
