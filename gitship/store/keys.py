"""SSH keys that may log in."""

from __future__ import annotations

import sqlite3
import time
from typing import Any

from gitship.errors import Conflict, NotFound
from gitship.model import (
    Key,
    Role,
)
from gitship.store.database import Database

_KEY = "id, name, fingerprint, public_key, role, created_at"


class Keys(Database):
    """SSH keys that may log in."""

    def keys(self) -> list[Key]:
        return [_key(row) for row in self._rows(f"SELECT {_KEY} FROM keys ORDER BY name")]

    def key_by_fingerprint(self, fingerprint: str) -> Key | None:
        row = self._row(f"SELECT {_KEY} FROM keys WHERE fingerprint = ?", fingerprint)
        return _key(row) if row else None

    def add_key(self, name: str, fingerprint: str, public_key: str, role: Role) -> Key:
        """Raises Conflict when the name or the key is there already."""
        try:
            with self.transaction() as db:
                db.execute(
                    "INSERT INTO keys (name, fingerprint, public_key, role, created_at) VALUES (?, ?, ?, ?, ?)",
                    (name, fingerprint, public_key, role, time.time()),
                )
        except sqlite3.IntegrityError as error:
            what = f"a key named '{name}'" if "name" in str(error) else f"the key {fingerprint}"
            raise Conflict(f"{what} is there already", "see `keys:list`; remove it first to replace it") from None
        return _key(self._row(f"SELECT {_KEY} FROM keys WHERE name = ?", name))

    def remove_key(self, name: str) -> None:
        """Raises NotFound."""
        with self.transaction() as db:
            if not db.execute("DELETE FROM keys WHERE name = ?", (name,)).rowcount:
                raise NotFound(f"no key named '{name}'", "see `keys:list`")


def _key(row: Any) -> Key:
    id_, name, fingerprint, public_key, role, created_at = row
    return Key(id_, name, fingerprint, public_key, Role(role), created_at)
