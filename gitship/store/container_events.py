"""Events of live containers: crashes, out of memory, restarts."""

from __future__ import annotations

from typing import Any

from gitship.model import ContainerEvent, ContainerEventKind
from gitship.store.database import Database

KEPT_PER_APP = 500

_EVENT = "app_id, docker_id, container, process, release, at, kind, exit_code, detail, deaths"
_SEEN_UNTIL = "container_events_until"


class ContainerEvents(Database):
    """The newest ``KEPT_PER_APP`` events of each app; none is stored twice, however often Docker tells it."""

    def add_container_event(self, event: ContainerEvent) -> bool:
        """False when it is there already."""
        row = (
            event.app_id, event.container_id, event.container, event.process, event.release, event.at, event.kind,
            event.exit_code, event.detail, event.deaths,
        )  # fmt: skip
        with self.transaction() as db:
            added = db.execute(
                f"INSERT OR IGNORE INTO container_events ({_EVENT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row
            ).rowcount
            db.execute(
                "DELETE FROM container_events WHERE app_id = ? AND id <= (SELECT id FROM container_events"
                " WHERE app_id = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
                (event.app_id, event.app_id, KEPT_PER_APP),
            )
        return bool(added)

    def end_of_container_event(self, event: ContainerEvent, exit_code: int, deaths: int) -> None:
        """What was told by ``event`` has also ended the container."""
        with self.transaction() as db:
            db.execute(
                "UPDATE container_events SET exit_code = ?, deaths = ? WHERE docker_id = ? AND at = ? AND kind = ?",
                (exit_code, deaths, event.container_id, event.at, event.kind),
            )

    def container_events(self, app_id: int, *, since: float = 0.0, limit: int = KEPT_PER_APP) -> list[ContainerEvent]:
        """Oldest first; the newest ``limit`` of those that are not before ``since``."""
        rows = self._rows(
            f"SELECT {_EVENT} FROM container_events WHERE app_id = ? AND at >= ? ORDER BY at DESC, id DESC LIMIT ?",
            app_id, since, limit,
        )  # fmt: skip
        return [_event(row) for row in reversed(rows)]

    def events_of_container(self, docker_id: str) -> list[ContainerEvent]:
        """Oldest first."""
        rows = self._rows(f"SELECT {_EVENT} FROM container_events WHERE docker_id = ? ORDER BY at, id", docker_id)
        return [_event(row) for row in rows]

    def events_seen_until(self) -> float | None:
        """Up to when Docker's events have been looked at."""
        row = self._row("SELECT value FROM meta WHERE key = ?", _SEEN_UNTIL)
        return float(row[0]) if row else None

    def set_events_seen_until(self, at: float) -> None:
        with self.transaction() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_SEEN_UNTIL, repr(at)))


def _event(row: Any) -> ContainerEvent:
    app_id, docker_id, container, process, release, at, kind, exit_code, detail, deaths = row
    return ContainerEvent(
        app_id, docker_id, container, process, release, at, ContainerEventKind(kind), exit_code, detail, deaths
    )
