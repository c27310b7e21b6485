"""Access to the status page: one-time links, sessions and tokens, stored as hashes."""

from __future__ import annotations

import sqlite3
import time

from gitship.errors import AlreadyThere, NotFound
from gitship.model import WebAccessKind, WebToken
from gitship.store.database import Database

KEPT_PER_KEY = 50  # links and sessions of one key; older ones end

_TRIM = (
    "DELETE FROM web_access WHERE fingerprint = ? AND kind = ? AND hash NOT IN"
    " (SELECT hash FROM web_access WHERE fingerprint = ? AND kind = ? ORDER BY rowid DESC LIMIT ?)"
)


class WebAccess(Database):
    """Rows end when they expire, and with their key: triggers see to that, whoever changes the key."""

    def add_web_access(
        self, kind: WebAccessKind, hash_: str, fingerprint: str, *, lasts_s: float | None, name: str = ""
    ) -> None:
        """``lasts_s`` None: until it is removed. Raises Conflict when the key has a token of that name."""
        now = time.time()
        try:
            with self.transaction() as db:
                db.execute("DELETE FROM web_access WHERE expires_at <= ?", (now,))
                expires_at = None if lasts_s is None else now + lasts_s
                db.execute(
                    "INSERT INTO web_access VALUES (?, ?, ?, ?, ?, ?)",
                    (hash_, kind, fingerprint, name, now, expires_at),
                )
                if kind is not WebAccessKind.TOKEN:
                    db.execute(_TRIM, (fingerprint, kind, fingerprint, kind, KEPT_PER_KEY))
        except sqlite3.IntegrityError:
            raise AlreadyThere(
                f"you already have a token named '{name}'", f"choose another name, or `web:token:remove {name}` first"
            ) from None

    def web_access(self, kind: WebAccessKind, hash_: str) -> str | None:
        """The fingerprint of the key it stands for; None when there is none, or it has expired."""
        row = self._row(
            "SELECT fingerprint FROM web_access WHERE hash = ? AND kind = ? AND coalesce(expires_at > ?, 1)",
            hash_, kind, time.time(),
        )  # fmt: skip
        return str(row[0]) if row else None

    def take_web_access(self, kind: WebAccessKind, hash_: str) -> str | None:
        """As ``web_access``, and it is gone: of two at once only one gets it."""
        with self.transaction() as db:
            fingerprint = self.web_access(kind, hash_)
            db.execute("DELETE FROM web_access WHERE hash = ? AND kind = ?", (hash_, kind))
        return fingerprint

    def web_tokens(self, fingerprint: str | None = None) -> list[WebToken]:
        """By name; of one key, or of all."""
        sql = "SELECT name, fingerprint, created_at FROM web_access WHERE kind = 'token'"
        if fingerprint is None:
            return [WebToken(*row) for row in self._rows(f"{sql} ORDER BY name, fingerprint")]
        return [WebToken(*row) for row in self._rows(f"{sql} AND fingerprint = ? ORDER BY name", fingerprint)]

    def remove_web_token(self, fingerprint: str, name: str) -> None:
        """Raises NotFound."""
        with self.transaction() as db:
            if not db.execute(
                "DELETE FROM web_access WHERE kind = 'token' AND fingerprint = ? AND name = ?", (fingerprint, name)
            ).rowcount:
                raise NotFound(f"you have no token named '{name[:80]}'", "see `web:tokens`")
