"""SSH keys that may log in."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable
from typing import Any

from gitship.errors import Conflict, NotFound
from gitship.model import (
    Key,
    Role,
)
from gitship.store.database import Database

_KEY = (
    "id, name, fingerprint, public_key, role, created_at, all_apps,"
    " (SELECT group_concat(app_id) FROM key_apps WHERE key_id = keys.id)"
)


class Keys(Database):
    """SSH keys that may log in."""

    def keys(self) -> list[Key]:
        return [_key(row) for row in self._rows(f"SELECT {_KEY} FROM keys ORDER BY name")]

    def key_by_fingerprint(self, fingerprint: str) -> Key | None:
        row = self._row(f"SELECT {_KEY} FROM keys WHERE fingerprint = ?", fingerprint)
        return _key(row) if row else None

    def key_by_id(self, key_id: int) -> Key | None:
        row = self._row(f"SELECT {_KEY} FROM keys WHERE id = ?", key_id)
        return _key(row) if row else None

    def add_key(
        self, name: str, fingerprint: str, public_key: str, role: Role, apps: Iterable[int] | None = None
    ) -> Key:
        """``apps``: the ids of those it is limited to. Raises Conflict when the name or the key is there already."""
        try:
            with self.transaction() as db:
                db.execute(
                    "INSERT INTO keys (name, fingerprint, public_key, role, created_at) VALUES (?, ?, ?, ?, ?)",
                    (name, fingerprint, public_key, role, time.time()),
                )
                made = db.execute("SELECT id FROM keys WHERE name = ?", (name,)).fetchone()[0]
                self.limit_key(made, apps)
        except sqlite3.IntegrityError as error:
            what = f"a key named '{name}'" if "name" in str(error) else f"the key {fingerprint}"
            raise Conflict(f"{what} already exists", "see `keys:list`; remove it first to replace it") from None
        return _key(self._row(f"SELECT {_KEY} FROM keys WHERE name = ?", name))

    def limit_key(self, key_id: int, apps: Iterable[int] | None) -> None:
        """From now on the key may use these apps (ids) and no other; None lifts the limit."""
        with self.transaction() as db:
            db.execute("UPDATE keys SET all_apps = ? WHERE id = ?", (apps is None, key_id))
            db.execute("DELETE FROM key_apps WHERE key_id = ?", (key_id,))
            self._change_rights()
            db.executemany("INSERT INTO key_apps VALUES (?, ?)", [(key_id, app) for app in set(apps or ())])

    def remove_key(self, key_id: int) -> None:
        """Raises NotFound."""
        with self.transaction() as db:
            if not db.execute("DELETE FROM keys WHERE id = ?", (key_id,)).rowcount:
                raise NotFound("the key was removed", "see `keys:list`")
            self._change_rights()


def _key(row: Any) -> Key:
    id_, name, fingerprint, public_key, role, created_at, all_apps, ids = row
    apps = None if all_apps else frozenset(map(int, ids.split(","))) if ids else frozenset()
    return Key(id_, name, fingerprint, public_key, Role(role), created_at, apps)
