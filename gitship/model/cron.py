"""Cron entries and their runs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

CRON_TIMEOUT_S = 86_400.0


class Overlap(StrEnum):
    """What becomes of a cron run that is due while an earlier one of the same entry still runs."""

    SKIP = "skip"
    QUEUE = "queue"  # one waits for its end, further ones are skipped
    REPLACE = "replace"  # the earlier one is ended
    ALLOW = "allow"


@dataclass(frozen=True, slots=True)
class CronEntry:
    """A command that runs by the clock. ``timezone`` "" is the server's; ``suspended``: only when somebody asks for it.

    ``source`` is app.json, gitship.toml or command.
    """

    name: str
    schedule: str
    command: tuple[str, ...]
    source: str
    timezone: str = ""
    overlap: Overlap = Overlap.SKIP
    timeout_s: float = CRON_TIMEOUT_S
    suspended: bool = False


class CronOutcome(StrEnum):
    """Where a cron run stands."""

    QUEUED = "queued"
    RUNNING = "running"
    OK = "ok"
    FAILED = "failed"
    TIMED_OUT = "timed out"
    REPLACED = "replaced"
    STOPPED = "stopped"  # by a person
    SKIPPED = "skipped"

    @property
    def ended(self) -> bool:
        return self not in (CronOutcome.QUEUED, CronOutcome.RUNNING)


@dataclass(frozen=True, slots=True)
class CronRun:
    """A run of a cron entry; ``number`` counts from 1 within the app. Times are epoch seconds.

    ``due_at`` is the minute that it was for, None when somebody asked for it (``by`` is that key's name, else "").
    ``container`` is "" until there is one; ``exit_code`` None when there was none, or when it is not known.
    """

    id: int
    app_id: int
    number: int
    entry: str
    outcome: CronOutcome
    due_at: float | None
    started_at: float
    ended_at: float | None = None
    exit_code: int | None = None
    container: str = ""
    by: str = ""
    reason: str = ""
