"""Traffic history: per minute for an hour, per hour for 30 days."""

from __future__ import annotations

from collections.abc import Iterable

from gitship.model.traffic import Traffic
from gitship.store.database import Database

MINUTE_S = 60
HOUR_S = 3600
KEPT_S = {MINUTE_S: 3600, HOUR_S: 30 * 86_400}


class TrafficHistory(Database):
    """Rows of (app id, start in epoch seconds, traffic)."""

    def add_traffic(self, minutes: Iterable[tuple[int, int, Traffic]]) -> None:
        """Adds to those minutes and to their hours, all or nothing; apps that are gone are passed over."""
        with self.transaction() as db:
            known = {row[0] for row in db.execute("SELECT id FROM apps")}
            for app_id, start, traffic in minutes:
                if app_id in known:
                    for seconds in KEPT_S:
                        self._add(app_id, seconds, start // seconds * seconds, traffic)

    def _add(self, app_id: int, seconds: int, start: int, traffic: Traffic) -> None:
        with self.transaction() as db:
            key = (app_id, seconds, start)
            sql = "SELECT counts FROM traffic WHERE app_id = ? AND seconds = ? AND start = ?"
            row = db.execute(sql, key).fetchone()
            whole = Traffic.from_json(row[0]) if row else Traffic()
            whole.add(traffic)
            db.execute("INSERT OR REPLACE INTO traffic VALUES (?, ?, ?, ?)", (*key, whole.to_json()))

    def traffic(self, seconds: int, since: float, app_id: int | None = None) -> list[tuple[int, int, Traffic]]:
        """Rows that are ``seconds`` (MINUTE_S or HOUR_S) long and have not ended at ``since``, oldest first."""
        where, values = ("", ()) if app_id is None else (" AND app_id = ?", (app_id,))
        sql = f"SELECT app_id, start, counts FROM traffic WHERE seconds = ? AND start > ?{where} ORDER BY start"
        rows = self._rows(sql, seconds, since - seconds, *values)
        return [(app, start, Traffic.from_json(counts)) for app, start, counts in rows]

    def prune_traffic(self, now: float) -> None:
        """Removes what is older than KEPT_S."""
        with self.transaction() as db:
            for seconds, kept_s in KEPT_S.items():
                db.execute("DELETE FROM traffic WHERE seconds = ? AND start <= ?", (seconds, now - kept_s - seconds))
