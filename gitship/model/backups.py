"""Backups of services, volumes and the server: targets, what lies there, and when more is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

BEHIND_S = 600.0  # without all of WAL at the target: then it is told


class BackupState(StrEnum):
    """How far a backup is proved. Only ``verified`` means that it can be restored."""

    RUNNING = "running"
    UPLOADED = "uploaded"
    LISTED = "listed"  # the target lists it with its size and SHA-256
    VERIFIED = "verified"  # restored into a server or volume of its own and compared; of the whole server: read back
    FAILED = "failed"


class SubjectKind(StrEnum):
    """What can be backed up."""

    SERVICE = "service"
    VOLUME = "volume"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class BackupSubject:
    """What a backup, a schedule or a task is of. ``owner`` is the id of the service, or of the volume's app.

    ``volume`` is what that app calls it. ``name`` is for people, and of now: ``db``, ``shop/data`` or ``server``.
    """

    kind: SubjectKind
    owner: int = 0
    volume: str = ""
    name: str = field(default="", compare=False)

    @property
    def columns(self) -> tuple[str, int, str]:
        """Its identity, as the store has it."""
        return self.kind, self.owner, self.volume

    @property
    def log_command(self) -> str:
        """Where people see how its last task went."""
        return f"services:log {self.name}" if self.kind is SubjectKind.SERVICE else f"backups:list {self.name}"


WHOLE_SERVER = BackupSubject(SubjectKind.SERVER, name="server")


@dataclass(frozen=True, slots=True)
class StoredTarget:
    """A target as an admin has defined it; see ``backup.targets.TargetDefinition``."""

    id: int
    name: str
    kind: str
    url: str
    options: Mapping[str, str]
    secret: str = field(repr=False)
    created_by: str = ""
    created_at: float = 0.0


@dataclass(frozen=True, slots=True)
class RowCounts:
    """Rows by table, before and after a dump was made: what it holds lies between, if nobody wrote the same.

    Where both are of the dump's own snapshot they are equal. Of a volume: its ``files`` and their ``bytes``, and
    ``content`` is the hash of its list of files, each with owner, mode, time and hash (see ``ContentList``).
    """

    before: Mapping[str, int] = field(default_factory=dict)
    after: Mapping[str, int] = field(default_factory=dict)
    content: str = ""

    @staticmethod
    def exact(counts: Mapping[str, int], content: str = "") -> RowCounts:
        """Of what was backed up itself."""
        return RowCounts(counts, counts, content)

    def differing(self, restored: Mapping[str, int]) -> list[str]:
        """Tables of which ``restored`` has other rows than there can have been. One that came or went may be either."""
        wrong = []
        for name in sorted(self.before.keys() | self.after.keys() | restored.keys()):
            ends = [counts.get(name, 0) for counts in (self.before, self.after)]
            in_both = name in self.before and name in self.after
            if not min(ends) <= restored.get(name, 0) <= max(ends) or (in_both and name not in restored):
                wrong.append(name)
        return wrong

    @property
    def rows(self) -> int:
        return sum(self.after.values())


@dataclass(frozen=True, slots=True)
class StoredBackup:
    """One backup, or the attempt; it stays when its subject is gone. ``subject`` has the name of then.

    ``number`` counts those of a subject; ``target`` is the target's name. ``bytes`` and ``sha256`` are of the object as
    it lies there. ``left``: an object may be there that belongs to no backup, and is to be removed. Times are epoch
    seconds. ``schedule`` is the id of what began it, None for a person.

    Of a base backup, ``archive_id`` is the WAL archive that goes on from it, ``wal_start`` the first segment that it
    may need, ``as_of`` the earliest time it can be taken to, and ``proven_until`` the latest that it was taken to.
    """

    id: int
    subject: BackupSubject
    number: int
    engine: str
    version: str
    target_id: int
    target: str
    key: str
    encrypted: bool
    bytes: int
    sha256: str
    state: BackupState
    counts: RowCounts
    by: str
    schedule: int | None
    started_at: float
    finished_at: float | None = None
    verified_at: float | None = None
    reason: str = ""
    hint: str = ""
    left: bool = False
    archive_id: int | None = None
    wal_start: str = ""
    as_of: float | None = None
    proven_until: float | None = None

    @property
    def is_base(self) -> bool:
        """Not a dump, but a copy of the server's files, which WAL takes to any later time."""
        return self.archive_id is not None

    @property
    def label(self) -> str:
        """As people name it: ``backup 3 of db``."""
        return f"backup {self.number} of {self.subject.name}"

    @property
    def rows(self) -> int | None:
        """In a dump, None when that is not known."""
        return self.counts.rows if self.counts.after and self.subject.kind is SubjectKind.SERVICE else None

    @property
    def files(self) -> int | None:
        """In a volume."""
        return self.counts.after.get("files") if self.subject.kind is SubjectKind.VOLUME else None

    @property
    def content_bytes(self) -> int | None:
        """Of a volume's files."""
        return self.counts.after.get("bytes") if self.subject.kind is SubjectKind.VOLUME else None

    @property
    def stored(self) -> bool:
        """There is an object that can be restored, or at least be tried."""
        return bool(self.sha256) and not self.left


@dataclass(frozen=True, slots=True)
class BackupSchedule:
    """``schedule`` is cron-like, in the server's time zone; ``keep`` as ``Retention.parse`` reads it.

    ``seen_at``: what was due until then has been begun. ``told_at``: when it was told that it is overdue, None while it
    is not. Times are epoch seconds.
    """

    id: int
    subject: BackupSubject
    target_id: int
    target: str
    schedule: str
    keep: str
    created_by: str
    created_at: float
    seen_at: float
    told_at: float | None = None
    spool_bytes: int | None = None

    @property
    def point_in_time(self) -> bool:
        """It makes base backups, and WAL is archived between them; ``spool_bytes`` is the most that waits there."""
        return self.spool_bytes is not None


@dataclass(frozen=True, slots=True)
class WalArchive:
    """WAL of a service at a target, without a hole from ``first_segment`` to ``last_segment`` ("": none yet).

    ``volume`` is the one that it comes from; ``folder`` is where it lies. ``seen_at``: all that was written until then,
    but for the last minute, is at the target; None before archiving has begun. ``last_at`` is when the last segment
    was written. One that is closed has ended, for ``reason``; else that is what is wrong now. Times are epoch seconds.
    """

    id: int
    service_id: int
    service: str
    database: str
    schedule_id: int
    target_id: int
    target: str
    volume: str
    spool_bytes: int
    folder: str
    opened_at: float
    seen_at: float | None
    first_segment: str
    last_segment: str
    last_at: float | None
    closed_at: float | None
    reason: str
    hint: str
    told_at: float | None

    @property
    def subject(self) -> BackupSubject:
        return BackupSubject(SubjectKind.SERVICE, self.service_id, name=self.service)

    def behind(self, now: float) -> float:
        """For how many seconds not all of WAL is at the target; 0 while that is no trouble."""
        late = now - (self.seen_at or self.opened_at)
        return late if self.closed_at is None and late > BEHIND_S else 0.0
