"""History of cron runs; a second run for the same minute is refused here."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from gitship.errors import NotFound
from gitship.model import CronOutcome, CronRun
from gitship.store.database import Database

KEPT_PER_ENTRY = 100
KEPT_PER_APP = 2000  # also of entries that are gone

_RUN = "id, app_id, number, entry, outcome, due_at, started_at, ended_at, exit_code, container, by, reason"
_ENDED = f"outcome NOT IN ('{CronOutcome.QUEUED}', '{CronOutcome.RUNNING}')"
_TRIM_ENTRY = (
    f"DELETE FROM cron_runs WHERE app_id = ? AND entry = ? AND {_ENDED} AND id <= (SELECT id FROM cron_runs"
    " WHERE app_id = ? AND entry = ? ORDER BY id DESC LIMIT 1 OFFSET ?)"
)
_TRIM_APP = (
    f"DELETE FROM cron_runs WHERE app_id = ? AND {_ENDED} AND id <= (SELECT id FROM cron_runs"
    " WHERE app_id = ? ORDER BY id DESC LIMIT 1 OFFSET ?)"
)


class CronRuns(Database):
    """The newest runs of each entry; older ones go as new ones come."""

    def add_cron_run(
        self,
        app_id: int,
        entry: str,
        outcome: CronOutcome,
        *,
        due_at: float | None = None,
        by: str = "",
        reason: str = "",
    ) -> CronRun | None:
        """The new record, or None when that minute has one already: whoever gets the record runs it, nobody else."""
        now = time.time()
        with self.transaction() as db:
            last = db.execute("SELECT max(number) FROM cron_runs WHERE app_id = ?", (app_id,)).fetchone()[0] or 0
            ended_at = now if outcome.ended else None
            cursor = db.execute(
                "INSERT OR IGNORE INTO cron_runs (app_id, number, entry, outcome, due_at, started_at, ended_at, by,"
                " reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (app_id, last + 1, entry, outcome, due_at, now, ended_at, by, reason),
            )
            if not cursor.rowcount:
                return None
            run_id = cursor.lastrowid
            db.execute(_TRIM_ENTRY, (app_id, entry, app_id, entry, KEPT_PER_ENTRY))
            db.execute(_TRIM_APP, (app_id, app_id, KEPT_PER_APP))
        assert run_id is not None
        return self.cron_run(run_id)

    def begin_cron_run(self, run: CronRun, container: str) -> CronRun | None:
        """From now on it runs, in that container; None when it has ended already, or is gone with its app."""
        open_ = (CronOutcome.QUEUED, CronOutcome.RUNNING)
        with self.transaction() as db:
            changed = db.execute(
                "UPDATE cron_runs SET outcome = ?, container = ?, started_at = ? WHERE id = ? AND outcome IN (?, ?)",
                (CronOutcome.RUNNING, container, time.time(), run.id, *open_),
            ).rowcount
        return self.cron_run(run.id) if changed else None

    def end_cron_run(
        self, run: CronRun, outcome: CronOutcome, *, exit_code: int | None = None, reason: str = ""
    ) -> CronRun | None:
        """The first end that is told is the one that counts; None for any other, or when it is gone with its app."""
        ended = replace(run, outcome=outcome, exit_code=exit_code, reason=reason, ended_at=time.time())
        with self.transaction() as db:
            changed = db.execute(
                "UPDATE cron_runs SET outcome = ?, exit_code = ?, reason = ?, ended_at = ?"
                f" WHERE id = ? AND NOT ({_ENDED})",
                (ended.outcome, ended.exit_code, ended.reason, ended.ended_at, run.id),
            ).rowcount
        return ended if changed else None

    def cron_run(self, run_id: int) -> CronRun:
        """Raises NotFound."""
        row = self._row(f"SELECT {_RUN} FROM cron_runs WHERE id = ?", run_id)
        if row is None:
            raise NotFound("no such run", "see `cron:history`")
        return _run(row)

    def cron_run_in(self, app_id: int, container: str) -> CronRun | None:
        """The app's run that has, or had, the container of that name."""
        sql = f"SELECT {_RUN} FROM cron_runs WHERE app_id = ? AND container = ? ORDER BY id DESC LIMIT 1"
        row = self._row(sql, app_id, container)
        return _run(row) if row else None

    def cron_runs(self, app_id: int, entry: str | None = None, limit: int = KEPT_PER_APP) -> list[CronRun]:
        """Newest first."""
        where, values = ("", ()) if entry is None else (" AND entry = ?", (entry,))
        sql = f"SELECT {_RUN} FROM cron_runs WHERE app_id = ?{where} ORDER BY id DESC LIMIT ?"
        return [_run(row) for row in self._rows(sql, app_id, *values, limit)]

    def cron_seen(self) -> float:
        """Until when (epoch seconds) somebody has looked at what is due; 0 when nobody ever has."""
        row = self._row("SELECT value FROM meta WHERE key = 'cron_seen'")
        return float(row[0]) if row else 0.0

    def set_cron_seen(self, at: float) -> None:
        with self.transaction() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES ('cron_seen', ?)", (str(at),))

    def open_cron_runs(self) -> list[CronRun]:
        """Those that run or wait, of all apps, oldest first."""
        return [_run(row) for row in self._rows(f"SELECT {_RUN} FROM cron_runs WHERE NOT ({_ENDED}) ORDER BY id")]


def _run(row: Any) -> CronRun:
    id_, app_id, number, entry, outcome, *rest = row
    return CronRun(id_, app_id, number, entry, CronOutcome(outcome), *rest)
