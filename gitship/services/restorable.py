"""Times that a service can be restored to, as people type them and as its archives have them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from gitship.errors import NotFound, UsageError
from gitship.model.backups import BackupState, StoredBackup, WalArchive
from gitship.schema import zone

_EXAMPLE = "for example 14:02, 2026-12-01T14:02:30, 2026-12-01T13:02:30Z or 2026-12-01T14:02:30+01:00"
_CLOCK = re.compile(r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?")
NOW = "now"


@dataclass(frozen=True, slots=True)
class RestorableRange:
    """From ``since`` to ``until`` (epoch seconds) any time can be restored; ``bases`` are by their time."""

    archive: WalArchive
    bases: tuple[StoredBackup, ...]
    since: float
    until: float

    @property
    def proven_until(self) -> float | None:
        """The latest time that was restored for a proof; None when none was."""
        return max((base.proven_until for base in self.bases if base.proven_until is not None), default=None)

    def base(self, at: float) -> StoredBackup:
        """The last verified one before that time, or else the last. The time has to be in the range, or after it."""
        fit = [base for base in self.bases if base.as_of is not None and base.as_of <= at]
        return next((base for base in reversed(fit) if base.state is BackupState.VERIFIED), fit[-1])


def ranges(archives: Iterable[WalArchive], backups: Iterable[StoredBackup]) -> list[RestorableRange]:
    """The oldest first. ``backups`` are the service's, in any order."""
    found = []
    stored = sorted((b for b in backups if b.stored and b.as_of is not None), key=lambda b: b.as_of or 0.0)
    for archive in archives:
        bases = tuple(b for b in stored if b.archive_id == archive.id)
        if bases and bases[0].as_of is not None and archive.last_at is not None:
            found.append(RestorableRange(archive, bases, bases[0].as_of, max(archive.last_at, bases[-1].as_of or 0.0)))
    return found


def range_of(found: list[RestorableRange], at: float, service: str, where: tzinfo) -> RestorableRange:
    """Raises NotFound with the times that are possible."""
    for one in reversed(found):
        if one.since <= at <= one.until:
            return one
    known = "; ".join(f"{written(one.since, where)} to {written(one.until, where)}" for one in found)
    raise NotFound(
        f"{service} cannot be restored to {written(at, where)}",
        f"possible: {known}" if known else f"no base backup is there; see `backups:times {service}`",
    )


def written(at: float, where: tzinfo) -> str:
    """``2026-12-01 14:02:30 CET``."""
    return datetime.fromtimestamp(at, where).strftime("%Y-%m-%d %H:%M:%S %Z")


def typed_time(text: str, server_zone: str, now: float) -> tuple[float, tzinfo]:
    """A time in epoch seconds, and the zone it was meant in: the server's, unless it says another.

    A time without a date is the last such, today or yesterday. Raises UsageError, also for a time that is to come.
    """
    words, where = text.strip(), zone(server_zone)
    if words == NOW:
        return now, where
    head, _, last = words.rpartition(" ")
    try:
        if head and last[:1].isalpha():
            words, where = head, zone(last)
        if _CLOCK.fullmatch(words):
            today = datetime.fromtimestamp(now, where).date()
            clock = words if words[2] == ":" else f"0{words}"
            at = _on(f"{today} {clock}", where)
            if at.timestamp() > now:
                at = _on(f"{today - timedelta(days=1)} {clock}", where)
        else:
            at = _on(words, where)
    except (ValueError, OverflowError):
        raise UsageError(f"'{text[:80]}' is not a time", _EXAMPLE) from None
    if at.timestamp() > now:
        raise UsageError(f"{written(at.timestamp(), where)} is to come", _EXAMPLE)
    return at.timestamp(), at.tzinfo or where


def _on(text: str, where: tzinfo) -> datetime:
    """Raises ValueError."""
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=where)
