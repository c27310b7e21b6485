"""Stored deadlines, adjusted when the machine's clock is set."""

from __future__ import annotations

from gitship.store.certificates import HOLD
from gitship.store.database import Database

# Sessions and links, messages to be sent again, the next attempt at a certificate, addresses that rest, old data.
_DEADLINES = (
    ("web_access", "expires_at"),
    ("deliveries", "next_at"),
    ("certificate_attempts", "next_at"),
    ("addresses", "released_at"),
    ("addresses", "taken_at"),
    ("service_volumes", "until"),
)


class Deadlines(Database):
    """What no clock that is set may bring nearer or put off."""

    def move_deadlines(self, by_s: float, latest: float) -> None:
        """The clock has been set forward by that (negative: back).

        A deadline after ``latest`` (epoch seconds as the clock showed before) was not set by that clock, and stays: a
        machine that begins in 1970 finds those of before its restart far in the future, and they become right again.
        """
        with self.transaction() as db:
            for table, column in _DEADLINES:
                db.execute(f"UPDATE {table} SET {column} = {column} + ? WHERE {column} <= ?", (by_s, latest))
            db.execute(
                "UPDATE meta SET value = CAST(value + ? AS TEXT) WHERE key = ? AND CAST(value AS REAL) <= ?",
                (by_s, HOLD, latest),
            )
