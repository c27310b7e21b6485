"""Live releases, their containers and addresses."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable

from gitship.model import (
    Container,
)
from gitship.store.database import Database


class LiveReleases(Database):
    """What visitors see: the live release, its containers, and their addresses."""

    def set_live(self, app_id: int, release_id: int, containers: Iterable[Container]) -> None:
        """In one transaction: the release and exactly these containers are what visitors see from now on."""
        with self.transaction() as db:
            db.execute("UPDATE apps SET live_release = ? WHERE id = ?", (release_id, app_id))
            db.execute("DELETE FROM containers WHERE app_id = ?", (app_id,))
            db.executemany(
                "INSERT INTO containers (docker_id, name, app_id, release_id, process, idx, address, port)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [dataclasses.astuple(c) for c in containers],
            )

    def containers(self, app_id: int | None = None) -> list[Container]:
        where, values = ("", ()) if app_id is None else (" WHERE app_id = ?", (app_id,))
        sql = "SELECT docker_id, name, app_id, release_id, process, idx, address, port FROM containers"
        return [Container(*row) for row in self._rows(f"{sql}{where} ORDER BY app_id, process, idx", *values)]

    def take_address(self, app_id: int, candidates: Iterable[str], owner: str, quarantine_s: float) -> str | None:
        """The first candidate that is neither taken nor was released within ``quarantine_s``; else None."""
        now = time.time()
        with self.transaction() as db:
            rows = db.execute("SELECT address, released_at FROM addresses WHERE app_id = ?", (app_id,)).fetchall()
            # with 0 none rests, also those that were released in a future that a clock set back has taken away
            resting = {a for a, released in rows if released is not None and 0 < quarantine_s > now - released}
            blocked = resting | {a for a, released in rows if released is None}
            for address in candidates:
                if address not in blocked:
                    db.execute(
                        "INSERT OR REPLACE INTO addresses VALUES (?, ?, ?, ?, NULL)",
                        (app_id, address, owner, now),
                    )
                    return address
        return None

    def last_address(self, app_id: int) -> str | None:
        """The address taken last, so that the next one can follow it."""
        row = self._row("SELECT address FROM addresses WHERE app_id = ? ORDER BY taken_at DESC LIMIT 1", app_id)
        return str(row[0]) if row else None

    def release_address(self, app_id: int, owner: str) -> None:
        with self.transaction() as db:
            db.execute(
                "UPDATE addresses SET released_at = ? WHERE app_id = ? AND owner = ? AND released_at IS NULL",
                (time.time(), app_id, owner),
            )

    def addresses_of_no_live_container(self) -> list[tuple[int, str]]:
        """(app, owner) of each taken address whose owner no live release has."""
        return self._rows(
            "SELECT app_id, owner FROM addresses WHERE released_at IS NULL AND owner NOT LIKE 'service:%'"
            " AND NOT EXISTS (SELECT 1 FROM containers c WHERE c.app_id = addresses.app_id AND c.name = owner)"
        )

    def app_of_container_name(self, name: str) -> int | None:
        """The id of the app that has taken an address for a container of that name, and has it yet."""
        row = self._row("SELECT app_id FROM addresses WHERE owner = ? AND released_at IS NULL", name)
        return int(row[0]) if row else None

    def addresses(self, app_id: int) -> dict[str, str]:
        """Taken addresses, by owner."""
        rows = self._rows("SELECT owner, address FROM addresses WHERE app_id = ? AND released_at IS NULL", app_id)
        return dict(rows)
