"""Apps, with their config, scale and host names."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping

from gitship.errors import Conflict, NotFound
from gitship.model import (
    App,
    Domain,
    Topic,
)
from gitship.store.webhooks import Webhooks

_APP = "id, name, created_at, deploy_branch, live_release, network"


class AppRecords(Webhooks):
    """Apps, and what their next release will have: config, scale, host names."""

    def create_app(self, name: str, made_by: int | None = None) -> App:
        """``made_by`` is the id of the key that makes it. Raises Conflict when the name is taken."""
        try:
            with self.transaction() as db:
                made = db.execute(
                    "INSERT INTO apps (name, created_at, made_by) VALUES (?, ?, ?)", (name, time.time(), made_by)
                )
                self.announce(Topic.APP_CREATED, made.lastrowid, name)
        except sqlite3.IntegrityError:
            raise Conflict(f"app '{name}' already exists", "choose another name, or push to it") from None
        return self.app(name)

    def find_app(self, name: str) -> App | None:
        row = self._row(f"SELECT {_APP} FROM apps WHERE name = ?", name)
        return App(*row) if row else None

    def app(self, name: str) -> App:
        """Raises NotFound."""
        app = self.find_app(name)
        if app is None:
            raise NotFound(f"no app '{name}'", "see `apps:list`")
        return app

    def app_by_id(self, app_id: int) -> App:
        """Raises NotFound."""
        row = self._row(f"SELECT {_APP} FROM apps WHERE id = ?", app_id)
        if row is None:
            raise NotFound("the app is gone", "see `apps:list`")
        return App(*row)

    def apps(self) -> list[App]:
        return [App(*row) for row in self._rows(f"SELECT {_APP} FROM apps ORDER BY name")]

    def last_app_id(self) -> int:
        """The highest id that was ever given to an app."""
        row = self._row("SELECT seq FROM sqlite_sequence WHERE name = 'apps'")
        return int(row[0]) if row else 0

    def app_maker(self, app_id: int) -> int | None:
        """The id of the key that made it; None when nobody knows, and for the status page."""
        row = self._row("SELECT made_by FROM apps WHERE id = ?", app_id)
        return row[0] if row else None

    def is_used(self, app_id: int) -> bool:
        """True when somebody has deployed it, set anything of it, or let a key or a webhook have it."""
        tables = ("deploys", "config", "domains", "scale", "settings", "cron_runs", "key_apps", "webhook_apps")
        found = " OR ".join(f"EXISTS (SELECT 1 FROM {table} WHERE app_id = ?)" for table in tables)
        return bool(self._row(f"SELECT {found}", *[app_id] * len(tables))[0])  # type: ignore[index]

    def delete_app(self, app_id: int) -> None:
        with self.transaction() as db:
            for (name,) in db.execute("SELECT name FROM apps WHERE id = ?", (app_id,)).fetchall():
                self.announce(Topic.APP_DESTROYED, app_id, name)
            db.execute("DELETE FROM apps WHERE id = ?", (app_id,))
            self._change_rights()

    def rename_app(self, app_id: int, name: str) -> None:
        """Raises Conflict when the name is taken."""
        try:
            with self.transaction() as db:
                db.execute("UPDATE apps SET name = ? WHERE id = ?", (name, app_id))
                self._change_rights()
        except sqlite3.IntegrityError:
            raise Conflict(f"app '{name}' already exists", "choose another name") from None

    def set_deploy_branch(self, app_id: int, branch: str) -> None:
        with self.transaction() as db:
            db.execute("UPDATE apps SET deploy_branch = ? WHERE id = ?", (branch, app_id))

    def set_network(self, app_id: int, subnet: str) -> None:
        with self.transaction() as db:
            db.execute("UPDATE apps SET network = ? WHERE id = ?", (subnet, app_id))

    def scale(self, app_id: int) -> dict[str, int]:
        return dict(self._rows("SELECT process, quantity FROM scale WHERE app_id = ? ORDER BY process", app_id))

    def set_scale(self, app_id: int, quantities: Mapping[str, int]) -> None:
        with self.transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO scale VALUES (?, ?, ?)",
                [(app_id, p, n) for p, n in quantities.items()],
            )

    def config(self, app_id: int) -> dict[str, str]:
        return dict(self._rows("SELECT name, value FROM config WHERE app_id = ? ORDER BY name", app_id))

    def replace_config(self, app_id: int, values: Mapping[str, str]) -> None:
        with self.transaction() as db:
            db.execute("DELETE FROM config WHERE app_id = ?", (app_id,))
            db.executemany("INSERT INTO config VALUES (?, ?, ?)", [(app_id, n, v) for n, v in values.items()])

    def domains(self, app_id: int | None = None) -> list[Domain]:
        if app_id is None:
            rows = self._rows("SELECT app_id, name FROM domains ORDER BY name")
        else:
            rows = self._rows("SELECT app_id, name FROM domains WHERE app_id = ? ORDER BY name", app_id)
        return [Domain(*row) for row in rows]

    def add_domain(self, app_id: int, name: str) -> None:
        """Raises Conflict when another app (or this one) has it."""
        try:
            with self.transaction() as db:
                db.execute("INSERT INTO domains (app_id, name) VALUES (?, ?)", (app_id, name))
        except sqlite3.IntegrityError:
            raise Conflict(f"domain '{name}' is already taken", "remove it from the other app first") from None

    def remove_domain(self, app_id: int, name: str) -> None:
        """Raises NotFound when the app does not have it."""
        with self.transaction() as db:
            if not db.execute("DELETE FROM domains WHERE app_id = ? AND name = ?", (app_id, name)).rowcount:
                raise NotFound(f"the app has no domain '{name}'", "see `domains:list`")
