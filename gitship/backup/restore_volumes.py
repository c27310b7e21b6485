"""Restores the volumes of a backup, each into a new Docker volume that the restored database names."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

from gitship.appsettings import VOLUME
from gitship.backup import archive_format
from gitship.backup.archive_format import IncompleteBackup
from gitship.backup.reading import BackupEntry
from gitship.engine.interface import Volumes
from gitship.errors import GitshipError, NotFound
from gitship.store import Store
from gitship.volumes import volume_names

log = logging.getLogger("gitship.restore_command")


class VolumeRestore:
    """Fills volumes as their entries come by. What other servers or an earlier life of this one have stays theirs."""

    def __init__(self, store: Store, volumes: Volumes) -> None:
        """``store`` is the restored one."""
        self._store = store
        self._volumes = volumes
        self._server_id = store.server_id()
        self.filled: dict[tuple[int, str], str] = {}

    def fill(self, first: BackupEntry, entries: Iterator[BackupEntry]) -> BackupEntry | None:
        """Takes the volume that ``first`` begins from the entries; the one that comes after it, None at the end."""
        piece = archive_format.volume_piece(first.name)
        if piece is None or piece.number != 0 or (piece.app_id, piece.volume) in self.filled:
            raise IncompleteBackup(f"'{first.name[:200]}' is in the wrong place")
        after: list[BackupEntry | None] = []

        def content() -> Iterator[bytes]:
            entry: BackupEntry | None = first
            wanted = piece
            while entry is not None and archive_format.volume_piece(entry.name) == wanted:
                yield from entry.content
                entry = next(entries, None)
                wanted = archive_format.VolumePiece(wanted.app_id, wanted.volume, wanted.number + 1)
            after.append(entry)

        chunks = content()
        self._fill(piece.app_id, piece.volume, chunks)
        for _ in chunks:  # what the archive has behind its end
            pass
        return after[0]

    def _fill(self, app_id: int, name: str, content: Iterator[bytes]) -> None:
        try:
            app = self._store.app_by_id(app_id)
        except NotFound:
            raise IncompleteBackup(f"it has a volume of an app that is not in it ({app_id})") from None
        labels = volume_names.labels(self._server_id, app, name)
        made = volume_names.fresh(self._server_id, app, name)
        self._volumes.make(made, labels)
        self.filled[app_id, name] = made
        self._volumes.write(made, content, labels, threading.Event())

    def keep(self) -> None:
        """The apps have these volumes from now on."""
        with self._store.transaction():
            for (app_id, name), made in self.filled.items():
                self._store.set_setting(app_id, VOLUME(name), made)

    def undo(self) -> None:
        """Removes what was filled. Never raises."""
        for made in self.filled.values():
            try:
                self._volumes.remove(made)
            except GitshipError as error:
                log.warning("volume %s stays: %s", made, error.message)
