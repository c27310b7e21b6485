"""WAL archives of services: what lies at a target without a hole, from when to when."""

from __future__ import annotations

import time
from typing import Any

from gitship.errors import NotFound
from gitship.model.backups import BackupSchedule, WalArchive
from gitship.model.services import Service
from gitship.store.webhooks import Webhooks

_ARCHIVE = (
    "a.id, service_id, service, database, schedule_id, target_id, t.name, volume, spool_bytes, folder, opened_at,"
    " seen_at, first_segment, last_segment, last_at, closed_at, reason, hint, told_at"
    " FROM wal_archives a JOIN backup_targets t ON t.id = target_id"
)


class WalArchives(Webhooks):
    """One of a service is open at most. They stay when the service is destroyed, as its backups do."""

    def open_archive(self, service: Service, schedule: BackupSchedule) -> WalArchive:
        """The open one, or else a new one, whose archiving has not begun.

        Its folder is no other's, also not of a gitship whose database was restored.
        """
        now = time.time()
        with self.transaction() as db:
            if found := self.open_wal_archive(service.id):
                return found
            made = db.execute(
                "INSERT INTO wal_archives (service_id, service, database, schedule_id, target_id, volume, spool_bytes,"
                " opened_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    service.id, service.name, service.database, schedule.id, schedule.target_id, service.volume,
                    schedule.spool_bytes, now,
                ),
            ).lastrowid  # fmt: skip
            at = time.strftime("%Y-%m-%dT%H-%M-%SZ", time.gmtime(now))
            folder = f"{self.server_id()}/wal/{service.name}-{at}-{made}"
            db.execute("UPDATE wal_archives SET folder = ? WHERE id = ?", (folder, made))
        return self.wal_archive(made or 0)

    def wal_archive(self, archive_id: int) -> WalArchive:
        """Raises NotFound."""
        row = self._row(f"SELECT {_ARCHIVE} WHERE a.id = ?", archive_id)
        if row is None:
            raise NotFound("the WAL archive is gone", "see `backups:times`")
        return WalArchive(*row)

    def wal_archives(self, service_id: int | None = None) -> list[WalArchive]:
        """The oldest first."""
        where, values = ("", ()) if service_id is None else ("WHERE service_id = ?", (service_id,))
        return [WalArchive(*row) for row in self._rows(f"SELECT {_ARCHIVE} {where} ORDER BY a.id", *values)]

    def open_wal_archive(self, service_id: int) -> WalArchive | None:
        row = self._row(f"SELECT {_ARCHIVE} WHERE service_id = ? AND closed_at IS NULL", service_id)
        return WalArchive(*row) if row else None

    def change_wal_archive(self, archive_id: int, **columns: Any) -> WalArchive:
        with self.transaction() as db:
            db.execute(
                f"UPDATE wal_archives SET {', '.join(f'{column} = ?' for column in columns)} WHERE id = ?",
                (*columns.values(), archive_id),
            )
        return self.wal_archive(archive_id)

    def forget_wal_archive(self, archive_id: int) -> None:
        with self.transaction() as db:
            db.execute("DELETE FROM wal_archives WHERE id = ?", (archive_id,))
