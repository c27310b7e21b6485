"""Retention of backups: which are kept, and which have expired. Pure.

``7d,4w,6m`` keeps a backup of each of the last 7 days that have one, of 4 weeks (from Monday) and of 6 months: the
newest verified of that time, or else the newest. ``10`` keeps the last 10. What one rule keeps, no other removes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Generic, NamedTuple, TypeVar

from gitship.errors import UsageError

Id = TypeVar("Id", bound=int | str)
_EXAMPLE = "for example 7d,4w,6m (days, weeks, months, years), or 10 for the last 10"
_MOST = 10_000
_UNITS: dict[str, Callable[[datetime], tuple[int, ...]]] = {  # the period that a time is in
    "d": lambda at: (at.year, at.month, at.day),
    "w": lambda at: tuple(at.isocalendar()[:2]),
    "m": lambda at: (at.year, at.month),
    "y": lambda at: (at.year,),
}


class MadeBackup(NamedTuple, Generic[Id]):
    """``made_at`` in seconds since the epoch."""

    id: Id
    made_at: float
    verified: bool = False


@dataclass(frozen=True, slots=True)
class Retention:
    """Numbers of backups to keep; 0 is no such rule, and one of them is at least 1."""

    last: int = 0
    days: int = 0
    weeks: int = 0
    months: int = 0
    years: int = 0

    @staticmethod
    def parse(text: str) -> Retention:
        """Raises UsageError."""
        counts: dict[str, int] = {}
        for word in text.lower().split(","):
            found = re.fullmatch(r"([0-9]{1,6})([dwmy]?)", word.strip())
            if not found:
                raise UsageError(f"'{word.strip()}' is not a number of backups to keep", _EXAMPLE)
            count, unit = int(found[1]), found[2]
            if not 1 <= count <= _MOST:
                raise UsageError(f"cannot keep {count} backups", f"give a number from 1 to {_MOST}")
            if unit in counts:
                raise UsageError(f"'{text}' says twice how many to keep of the same kind", _EXAMPLE)
            counts[unit] = count
        return Retention(*(counts.get(unit, 0) for unit in ("", *_UNITS)))

    def written(self) -> str:
        """As ``parse`` reads it."""
        return ",".join(f"{count}{unit}" for unit, count in self._counts().items() if count)

    def expired(self, backups: Sequence[MadeBackup[Id]], now: float, zone: tzinfo) -> set[Id]:
        """The ids that no rule keeps. The newest backup and the newest verified one never expire.

        Days, weeks and months are those of ``zone``. A backup from after ``now`` (the clock was set back) stays, and
        takes nobody's place.
        """
        newest_first: list[MadeBackup[Id]] = sorted(
            backups, key=lambda backup: (backup.made_at, str(backup.id)), reverse=True
        )
        past = [backup for backup in newest_first if backup.made_at <= now]
        verified = [backup for backup in past if backup.verified]
        kept = {*past[: max(self.last, 1)], *verified[:1]}
        for unit, period_of in _UNITS.items():
            best: dict[tuple[int, ...], MadeBackup[Id]] = {}  # of each period: the newest verified, or else the newest
            for backup in [*reversed(past), *reversed(verified)]:
                best[period_of(datetime.fromtimestamp(backup.made_at, zone))] = backup
            in_order = sorted(best, reverse=True)
            kept |= {best[period] for period in in_order[: self._counts()[unit]]}
        return {backup.id for backup in past} - {backup.id for backup in kept}

    def _counts(self) -> dict[str, int]:
        return dict(zip(("", *_UNITS), (self.last, self.days, self.weeks, self.months, self.years), strict=True))
