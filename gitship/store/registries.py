"""Logins at image registries."""

from __future__ import annotations

from dataclasses import dataclass, field

from gitship.errors import NotFound
from gitship.store.database import Database


@dataclass(frozen=True, slots=True)
class RegistryLogin:
    """A login; the password shows in no log, not even in a traceback's."""

    server: str
    username: str
    password: str = field(repr=False)


class RegistryLogins(Database):
    """At most one login per server."""

    def set_registry(self, registry: RegistryLogin) -> None:
        """Takes the place of the server's login, if it has one."""
        with self.transaction() as db:
            values = (registry.server, registry.username, registry.password)
            db.execute("INSERT OR REPLACE INTO registries VALUES (?, ?, ?)", values)

    def registry(self, server: str) -> RegistryLogin | None:
        row = self._row("SELECT server, username, password FROM registries WHERE server = ?", server)
        return RegistryLogin(*row) if row else None

    def registries(self) -> list[RegistryLogin]:
        rows = self._rows("SELECT server, username, password FROM registries ORDER BY server")
        return [RegistryLogin(*row) for row in rows]

    def remove_registry(self, server: str) -> None:
        """Raises NotFound."""
        with self.transaction() as db:
            if not db.execute("DELETE FROM registries WHERE server = ?", (server,)).rowcount:
                raise NotFound(f"no login for '{server[:80]}'", "see `registry:list`")
