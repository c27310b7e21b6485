"""Which have no backup that was proved for too long. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gitship.appfiles import cron_schedule
from gitship.model.backups import BackupSchedule

INTERVALS = 2  # of the schedule: by then a second one should have been verified
LOOKED_AT = 10  # of the times that are to come: the longest gap counts, as from Friday to Monday
MOST_S = 400 * 86_400.0


@dataclass(frozen=True, slots=True)
class Overdue:
    """``since`` is when the newest verified was begun, or, without one, when the schedule was made (epoch seconds)."""

    schedule: BackupSchedule
    since: float
    verified: bool

    def text(self, now: float) -> str:
        days = (now - self.since) / 86_400
        age = f"{days:.0f} days" if days >= 2 else f"{days * 24:.1f} hours"
        what = "the last verified backup" if self.verified else "no backup was ever verified; the schedule"
        return f"{what} at {self.schedule.target} is {age} old"


def interval_s(schedule: str, zone: str, now: float) -> float:
    """The longest time between two of the next; MOST_S when there is no second one."""
    longest, due = 0.0, cron_schedule.following(schedule, zone, now)
    for _ in range(LOOKED_AT):
        after = cron_schedule.following(schedule, zone, due) if due is not None else None
        if due is None or after is None:
            break
        longest, due = max(longest, after - due), after
    return longest or MOST_S


def overdue(schedule: BackupSchedule, verified: Mapping[int, float], zone: str, now: float) -> Overdue | None:
    """None while all is well. ``verified`` are its subject's: when the newest was begun, by target."""
    since = verified.get(schedule.target_id, schedule.created_at)
    if now - since <= INTERVALS * interval_s(schedule.schedule, zone, now):
        return None
    return Overdue(schedule, since, schedule.target_id in verified)
