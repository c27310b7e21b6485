"""Audit log: who did what, from where, and its outcome."""

from __future__ import annotations

import time
from typing import Any

from gitship.model import AuditEntry, Identity, Outcome
from gitship.store.database import Database

KEPT_ROWS = 10_000
# Of these, so that strangers who knock with ever new keys cannot push out what known keys have done.
KEPT_STRANGERS = 1_000
LOGIN = "login"

_ENTRY = "id, at, key_name, fingerprint, address, action, app, outcome, detail"
_TRIM = "DELETE FROM audit WHERE id <= (SELECT id FROM audit ORDER BY id DESC LIMIT 1 OFFSET ?)"
_STRANGER = f"action = '{LOGIN}' AND key_name = ''"
_TRIM_STRANGERS = (
    f"DELETE FROM audit WHERE {_STRANGER}"
    f" AND id <= (SELECT id FROM audit WHERE {_STRANGER} ORDER BY id DESC LIMIT 1 OFFSET ?)"
)


class Audit(Database):
    """The newest ``KEPT_ROWS`` entries; older ones go as new ones come."""

    def begin_audit(self, by: Identity, action: str, app: str, outcome: Outcome, detail: str = "") -> int:
        """Writes an entry; its id, for ``end_audit``. ``app`` is a name, or several with ``, `` between them."""
        with self.transaction() as db:
            row = (time.time(), by.key_name, by.fingerprint, by.address, action, app, outcome, detail)
            entry = db.execute(
                "INSERT INTO audit (at, key_name, fingerprint, address, action, app, outcome, detail)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            ).lastrowid
            assert entry is not None
            db.execute(_TRIM, (KEPT_ROWS,))
        return entry

    def end_audit(self, entry: int, outcome: Outcome, detail: str) -> None:
        """What came of it."""
        with self.transaction() as db:
            db.execute("UPDATE audit SET outcome = ?, detail = ? WHERE id = ?", (outcome, detail, entry))

    def audit_stranger(self, fingerprint: str, address: str) -> None:
        """A key that may not log in was offered; the newest ``KEPT_STRANGERS`` of these are kept."""
        with self.transaction() as db:
            db.execute(
                "INSERT INTO audit (at, key_name, fingerprint, address, action, outcome, detail)"
                " VALUES (?, '', ?, ?, ?, ?, 'unknown key')",
                (time.time(), fingerprint, address, LOGIN, Outcome.REFUSED),
            )
            db.execute(_TRIM_STRANGERS, (KEPT_STRANGERS,))
            db.execute(_TRIM, (KEPT_ROWS,))

    def audit(self, *, app: str | None = None, limit: int = KEPT_ROWS) -> list[AuditEntry]:
        """Newest first; with ``app`` those that name it, also after it was destroyed."""
        named = "WHERE instr(', ' || app || ', ', ', ' || ? || ', ') > 0" if app is not None else ""
        values: tuple[Any, ...] = (app, limit) if app is not None else (limit,)
        return [
            _entry(row) for row in self._rows(f"SELECT {_ENTRY} FROM audit {named} ORDER BY id DESC LIMIT ?", *values)
        ]


def _entry(row: Any) -> AuditEntry:
    id_, at, key_name, fingerprint, address, action, app, outcome, detail = row
    return AuditEntry(id_, at, key_name, fingerprint, address, action, app, Outcome(outcome), detail)
