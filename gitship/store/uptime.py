"""Uptime of each app: one row a day for 90 days."""

from __future__ import annotations

from collections.abc import Iterable

from gitship.model import UptimeDay
from gitship.store.database import Database

KEPT_DAYS = 90


class Uptimes(Database):
    """An app takes 90 rows of some 30 bytes."""

    def add_uptime(self, seconds: Iterable[UptimeDay]) -> None:
        """Adds to those days, all or nothing; apps that are gone are passed over."""
        with self.transaction() as db:
            known = {row[0] for row in db.execute("SELECT id FROM apps")}
            db.executemany(
                "INSERT INTO uptime VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
                " up_s = up_s + excluded.up_s, down_s = down_s + excluded.down_s, off_s = off_s + excluded.off_s",
                [(d.app_id, d.day, d.up_s, d.down_s, d.off_s) for d in seconds if d.app_id in known],
            )

    def uptime(self, since_day: int, app_id: int | None = None) -> list[UptimeDay]:
        """From that day on, oldest first; days of which nothing is known are not there."""
        where, values = ("", ()) if app_id is None else (" AND app_id = ?", (app_id,))
        sql = f"SELECT app_id, day, up_s, down_s, off_s FROM uptime WHERE day >= ?{where} ORDER BY day"
        return [UptimeDay(*row) for row in self._rows(sql, since_day, *values)]

    def prune_uptime(self, today: int) -> None:
        """Removes what is older than KEPT_DAYS, with ``today`` the last of them."""
        with self.transaction() as db:
            db.execute("DELETE FROM uptime WHERE day <= ?", (today - KEPT_DAYS,))
