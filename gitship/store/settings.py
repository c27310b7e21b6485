"""Settings made by command, per app and for the server, and global config."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gitship.store.database import Database

RENAMING = "renaming"  # of an app: the name that it is getting


class AppSettings(Database):
    """Named values, as JSON; the part of gitship that owns a name says what it may be."""

    def setting(self, app_id: int, name: str) -> Any | None:
        """The value, or None when it is not set."""
        row = self._row("SELECT value FROM settings WHERE app_id = ? AND name = ?", app_id, name)
        return json.loads(row[0]) if row else None

    def settings(self, app_id: int) -> dict[str, Any]:
        rows = self._rows("SELECT name, value FROM settings WHERE app_id = ? ORDER BY name", app_id)
        return {name: json.loads(value) for name, value in rows}

    def apps_with_setting(self, name: str) -> set[int]:
        """The ids of the apps that have one of that name, whatever its value."""
        return {app_id for (app_id,) in self._rows("SELECT app_id FROM settings WHERE name = ?", name)}

    def set_setting(self, app_id: int, name: str, value: Any | None) -> None:
        """None unsets."""
        with self.transaction() as db:
            db.execute("DELETE FROM settings WHERE app_id = ? AND name = ?", (app_id, name))
            if value is not None:
                db.execute("INSERT INTO settings VALUES (?, ?, ?)", (app_id, name, json.dumps(value)))

    def server_setting(self, name: str) -> Any | None:
        """A value of the whole server that a command has set, or None."""
        row = self._row("SELECT value FROM server_settings WHERE name = ?", name)
        return json.loads(row[0]) if row else None

    def set_server_setting(self, name: str, value: Any | None) -> None:
        """None unsets."""
        with self.transaction() as db:
            db.execute("DELETE FROM server_settings WHERE name = ?", (name,))
            if value is not None:
                db.execute("INSERT INTO server_settings VALUES (?, ?)", (name, json.dumps(value)))

    def global_config(self) -> dict[str, str]:
        """Config below every app's own."""
        return dict(self._rows("SELECT name, value FROM global_config ORDER BY name"))

    def replace_global_config(self, values: Mapping[str, str]) -> None:
        with self.transaction() as db:
            db.execute("DELETE FROM global_config")
            db.executemany("INSERT INTO global_config VALUES (?, ?)", list(values.items()))
