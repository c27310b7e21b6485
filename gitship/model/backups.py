"""Backups of services: targets, what lies there, and when more is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class BackupState(StrEnum):
    """How far a backup is proved. Only ``verified`` means that it can be restored."""

    RUNNING = "running"
    UPLOADED = "uploaded"
    LISTED = "listed"  # the target lists it with its size and SHA-256
    VERIFIED = "verified"  # restored into a server of its own, and its rows counted
    FAILED = "failed"


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
    """Rows by table, before and after a dump was made: what it holds lies between, if nobody wrote the same."""

    before: Mapping[str, int] = field(default_factory=dict)
    after: Mapping[str, int] = field(default_factory=dict)

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
class ServiceBackup:
    """One dump of a service, or the attempt; it stays when the service is destroyed.

    ``number`` counts those of a service; ``target`` is the target's name. ``bytes`` and ``sha256`` are of the object as
    it lies there. ``left``: an object may be there that belongs to no backup, and is to be removed. Times are epoch
    seconds. ``schedule`` is the id of what began it, None for a person.
    """

    id: int
    service_id: int
    service: str
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

    @property
    def label(self) -> str:
        """As people name it: ``backup 3 of db``."""
        return f"backup {self.number} of {self.service}"

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
    service_id: int
    target_id: int
    target: str
    schedule: str
    keep: str
    created_by: str
    created_at: float
    seen_at: float
    told_at: float | None = None
