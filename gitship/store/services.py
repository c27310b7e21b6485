"""Backing services, their links, logins and volumes, and what is done to them."""

from __future__ import annotations

import dataclasses
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gitship.errors import Conflict, NoPermission, NotFound
from gitship.model import Identity
from gitship.model.services import (
    LinkState,
    ReleaseLink,
    Service,
    ServiceLink,
    ServiceLogin,
    ServiceState,
    ServiceVolume,
    VolumeUse,
    variables,
)
from gitship.store.rights import Rights

_SERVICE = (
    "id, name, engine, version, image, image_id, state, memory_bytes, database, root_password, volume, container,"
    " network, made_by, created_at, made_for, entry, next_root_password"
)
_LINK = "id, service_id, app_id, alias, url, port, read_only, state, login, deploy, created_at, host, declared"
_LOGIN = "id, service_id, link_id, name, password, created_at, expires_at"
_VOLUME = "name, service_id, use, version, image, image_id, at, until, root_password"


class ServiceRecords(Rights):
    """What the server knows of backing services."""

    # -- services

    def create_service(
        self, name: str, engine: str, version: str, image: str, memory_bytes: int, database: str, root_password: str,
        made_by: int | None, made_for: int | None = None, entry: str = "",
    ) -> Service:  # fmt: skip
        """Raises Conflict when the name is taken."""
        values = (name, engine, version, image, "", ServiceState.CREATING, memory_bytes, database, root_password)
        try:
            with self.transaction() as db:
                made = db.execute(
                    f"INSERT INTO services ({_SERVICE.removeprefix('id, ')})"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, '', '', NULL, ?, ?, ?, ?, '')",
                    (*values, made_by, time.time(), made_for, entry),
                ).lastrowid
        except sqlite3.IntegrityError:
            raise Conflict(
                f"service '{name}' already exists", f"choose another name; see `services:info {name}`"
            ) from None
        return self.service(made or 0)

    def services(self) -> list[Service]:
        return [_service(row) for row in self._rows(f"SELECT {_SERVICE} FROM services ORDER BY name")]

    def service(self, service_id: int) -> Service:
        """Raises NotFound."""
        row = self._row(f"SELECT {_SERVICE} FROM services WHERE id = ?", service_id)
        if row is None:
            raise NotFound("the service is gone", "see `services:list`")
        return _service(row)

    def find_service(self, name: str) -> Service | None:
        row = self._row(f"SELECT {_SERVICE} FROM services WHERE name = ?", name)
        return _service(row) if row else None

    def service_of_entry(self, app_id: int, entry: str) -> Service | None:
        """The one that was made for that entry of the app's file."""
        row = self._row(f"SELECT {_SERVICE} FROM services WHERE made_for = ? AND entry = ?", app_id, entry)
        return _service(row) if row else None

    def change_service(self, service_id: int, **columns: Any) -> None:
        with self.transaction() as db:
            db.execute(
                f"UPDATE services SET {', '.join(f'{column} = ?' for column in columns)} WHERE id = ?",
                (*columns.values(), service_id),
            )

    def delete_service(self, service_id: int) -> None:
        """With the records of its volumes and links, which are gone by now."""
        with self.transaction() as db:
            db.execute("DELETE FROM service_links WHERE service_id = ?", (service_id,))
            db.execute("DELETE FROM service_volumes WHERE service_id = ?", (service_id,))
            db.execute("DELETE FROM services WHERE id = ?", (service_id,))

    def last_service_id(self) -> int:
        """The highest id that was ever given to a service."""
        row = self._row("SELECT seq FROM sqlite_sequence WHERE name = 'services'")
        return int(row[0]) if row else 0

    def subnets(self) -> list[str]:
        """Those that apps and services have."""
        rows = self._rows("SELECT network FROM apps UNION ALL SELECT network FROM services")
        return [str(row[0]) for row in rows if row[0]]

    # -- who may

    def may_use_service(self, service: Service, by: Identity) -> bool:
        """True for a key of all apps; a limited one has those made by it or for its apps, and those of its apps, if of
        no other's.
        """
        if by.apps is None:
            return True
        apps = {link.app_id for link in self.service_links(service_id=service.id)}
        return apps <= by.apps and (bool(apps) or service.made_by == by.key_id or service.made_for in by.apps)

    def confirm_service(self, service: Service, by: Identity) -> Service:
        """The service as it is now. Raises NotFound when it is gone, NoPermission when the key, or its right, is."""
        key = self._key_now(by)
        try:
            now = self.service(service.id)
        except NotFound:
            raise NotFound(f"{service.name} was destroyed", "nothing was changed; see `services:list`") from None
        if key is not None and not self.may_use_service(now, Identity("", key.role, apps=key.apps, key_id=key.id)):
            raise NoPermission(f"the key '{by.key_name}' may no longer use {service.name}", "ask an admin")
        if now.state is ServiceState.DESTROYING:
            raise NotFound(f"{service.name} is being destroyed", "see `services:list`")
        return now

    @contextmanager
    def acting_on_service(self, service: Service, by: Identity) -> Iterator[Service]:
        """A transaction that begins with ``confirm_service``."""
        with self.transaction():
            yield self.confirm_service(service, by)

    # -- links and logins

    def create_link(
        self, service: Service, app_id: int, alias: str, url: str, port: int, *, read_only: bool, declared: str
    ) -> ServiceLink:
        """Raises Conflict when the app has a link of that alias."""
        try:
            with self.transaction() as db:
                self._change_rights()  # of keys that may not use what other apps have
                others = self.service_links(service_id=service.id, app_id=app_id)  # which have the same way to it
                host = others[0].host if others else declared or service.name
                values = (
                    service.id,
                    app_id,
                    alias,
                    url,
                    port,
                    read_only,
                    LinkState.ADDING,
                    time.time(),
                    host,
                    declared,
                )
                made = db.execute(
                    "INSERT INTO service_links (service_id, app_id, alias, url, port, read_only, state, created_at,"
                    " host, declared) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    values,
                ).lastrowid
        except sqlite3.IntegrityError:
            raise Conflict(f"the app has a link called {alias} already", "choose another with --alias NAME") from None
        return self.service_link(made or 0)

    def service_link(self, link_id: int) -> ServiceLink:
        """Raises NotFound."""
        row = self._row(f"SELECT {_LINK} FROM service_links WHERE id = ?", link_id)
        if row is None:
            raise NotFound("the link is gone", "see `services:list`")
        return _link(row)

    def service_links(self, *, service_id: int | None = None, app_id: int | None = None) -> list[ServiceLink]:
        """All, or those of a service, or of an app."""
        wanted = {"service_id": service_id, "app_id": app_id}
        found = {column: value for column, value in wanted.items() if value is not None}
        where = " AND ".join(f"{column} = ?" for column in found) or "1"
        rows = self._rows(f"SELECT {_LINK} FROM service_links WHERE {where} ORDER BY app_id, alias", *found.values())
        return [_link(row) for row in rows]

    def change_link(self, link_id: int, **columns: Any) -> None:
        with self.transaction() as db:
            db.execute(
                f"UPDATE service_links SET {', '.join(f'{column} = ?' for column in columns)} WHERE id = ?",
                (*columns.values(), link_id),
            )

    def delete_link(self, link_id: int) -> None:
        """Its logins are to be dropped then."""
        with self.transaction() as db:
            self._change_rights()
            db.execute("DELETE FROM service_links WHERE id = ?", (link_id,))

    def create_login(self, link: ServiceLink, name: str, password: str) -> ServiceLogin:
        """Raises NotFound when the link is gone."""
        values = (link.service_id, link.id, name, password, time.time())
        with self.transaction() as db:
            self.service_link(link.id)
            made = db.execute(
                "INSERT INTO service_logins (service_id, link_id, name, password, created_at) VALUES (?, ?, ?, ?, ?)",
                values,
            ).lastrowid
        return ServiceLogin(made or 0, *values)

    def create_temporary_login(self, service: Service, name: str, password: str, expires_at: float) -> ServiceLogin:
        """Somebody's own, which is to be dropped then."""
        values = (service.id, None, name, password, time.time(), expires_at)
        with self.transaction() as db:
            made = db.execute(
                "INSERT INTO service_logins (service_id, link_id, name, password, created_at, expires_at)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                values,
            ).lastrowid
        return ServiceLogin(made or 0, *values)

    def temporary_logins(self, service_id: int) -> list[ServiceLogin]:
        """Those that are to be there yet."""
        where = "service_id = ? AND link_id IS NULL AND expires_at > ?"
        rows = self._rows(f"SELECT {_LOGIN} FROM service_logins WHERE {where} ORDER BY id", service_id, time.time())
        return [ServiceLogin(*row) for row in rows]

    def service_logins(self, *, link_id: int | None = None, service_id: int | None = None) -> list[ServiceLogin]:
        """Those of a link, or those of a service that are to be dropped."""
        where, values = "link_id = ?", (link_id,)
        if not link_id:
            where = "service_id = ? AND link_id IS NULL AND coalesce(expires_at, 0) <= ?"
            values = (service_id, time.time())  # type: ignore[assignment]
        rows = self._rows(f"SELECT {_LOGIN} FROM service_logins WHERE {where} ORDER BY id", *values)
        return [ServiceLogin(*row) for row in rows]

    def doom_login(self, login_id: int) -> None:
        """It is to be dropped."""
        with self.transaction() as db:
            db.execute("UPDATE service_logins SET link_id = NULL, expires_at = NULL WHERE id = ?", (login_id,))

    def delete_login(self, login_id: int) -> None:
        with self.transaction() as db:
            db.execute("DELETE FROM service_logins WHERE id = ?", (login_id,))

    def linked_environment(self, app_id: int) -> dict[str, str]:
        """What new containers of the app get by its links."""
        found: dict[str, str] = {}
        for link in self.service_links(app_id=app_id):
            if link.state is LinkState.ACTIVE:
                logins = {login.id: login for login in self.service_logins(link_id=link.id)}
                found |= variables(link, logins[link.login or 0], self.service(link.service_id))
        return found

    def note_release_links(self, release_id: int, app_id: int) -> None:
        """What the release's containers are about to get: names only, the address and password are those of now."""
        with self.transaction() as db:
            db.execute("DELETE FROM release_links WHERE release_id = ?", (release_id,))
            db.execute(
                "INSERT INTO release_links SELECT ?, l.alias, s.name, l.read_only FROM service_links l"
                " JOIN services s ON s.id = l.service_id WHERE l.app_id = ? AND l.state = ?",
                (release_id, app_id, LinkState.ACTIVE),
            )

    def release_links(self, release_id: int) -> list[ReleaseLink]:
        """What its containers got when they were started first, by alias."""
        rows = self._rows(
            "SELECT alias, service, read_only FROM release_links WHERE release_id = ? ORDER BY alias", release_id
        )
        return [ReleaseLink(alias, service, bool(read_only)) for alias, service, read_only in rows]

    # -- volumes

    def note_volume(self, volume: ServiceVolume) -> None:
        """Before it is made, and whenever its use changes."""
        values = (
            volume.name, volume.service_id, volume.use, volume.version, volume.image, volume.image_id, volume.at,
            volume.until, volume.root_password,
        )  # fmt: skip
        with self.transaction() as db:
            db.execute(f"INSERT OR REPLACE INTO service_volumes ({_VOLUME}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)

    def service_volumes(self, service_id: int | None = None) -> list[ServiceVolume]:
        where, values = ("", ()) if service_id is None else (" WHERE service_id = ?", (service_id,))
        rows = self._rows(f"SELECT {_VOLUME} FROM service_volumes{where} ORDER BY at", *values)
        return [dataclasses.replace(ServiceVolume(*row), use=VolumeUse(row[2])) for row in rows]

    def forget_volume(self, name: str) -> None:
        with self.transaction() as db:
            db.execute("DELETE FROM service_volumes WHERE name = ?", (name,))


def _service(row: Any) -> Service:
    return dataclasses.replace(Service(*row), state=ServiceState(row[6]))


def _link(row: Any) -> ServiceLink:
    return dataclasses.replace(ServiceLink(*row), read_only=bool(row[6]), state=LinkState(row[7]))
