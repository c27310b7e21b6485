"""Space kept back on a disk: given up when the disk is nearly full, so that rollbacks still work.

On a disk without a free byte neither a rollback nor `ps:stop` could be written down, nor could Docker make a container.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from gitship.errors import EngineError

log = logging.getLogger("gitship.disk")
RESERVE = "reserve"
# A rollback writes under 1 MB: its record, its log, the VCL and what it is compiled to; at Docker 50 KB a container.
RESERVE_BYTES = 32 << 20
RESERVE_SHARE = 20  # of a small disk no more than 1/20
LOW_BYTES = 4 << 20  # below this the reserve is given up


class ReserveFiller(Protocol):
    """What takes the room. Raises OSError or EngineError."""

    def there(self) -> bool: ...

    def takes(self, size_bytes: int) -> int:
        """Bytes of the disk that ballast of that size takes."""
        ...

    def make(self, size_bytes: int) -> None: ...

    def drop(self) -> None: ...


class DiskReserve:
    """Safe from any thread, never raises. What it looks at is one statvfs(2), 2 microseconds."""

    def __init__(self, directory: Path, ballast: ReserveFiller) -> None:
        """The reserve of the disk that the directory is on."""
        self.directory = directory
        self._ballast = ballast
        self._lock = threading.Lock()
        self._held = True  # as far as is known

    @property
    def free_bytes(self) -> int:
        return shutil.disk_usage(self.directory).free

    def look(self) -> None:
        """Gives the reserve up when it is needed. Called before anything is written there."""
        with suppress(OSError):
            if self._held and self.free_bytes < LOW_BYTES:
                self.give_up()

    def give_up(self) -> bool:
        """True when there is room now that was not there before."""
        with self._lock, suppress(OSError, EngineError):
            if not self._held or not self._ballast.there():
                self._held = False
                return False
            self._ballast.drop()
            self._held = False
            log.error(
                "the disk of %s is full: the reserve is given up so that rollbacks still work; free some space:"
                " server:cleanup",
                self.directory,
            )
            return True
        return False

    def restock(self) -> None:
        """Makes the reserve again when there is room for it."""
        with self._lock, suppress(OSError, EngineError):
            self._held = self._ballast.there()
            usage = shutil.disk_usage(self.directory)
            size = min(RESERVE_BYTES, usage.total // RESERVE_SHARE)
            if not self._held and usage.free >= self._ballast.takes(size) + max(size, LOW_BYTES):
                self._ballast.make(size)
                self._held = True


class ReserveFile:
    """A file in a directory that gitship may write in."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def there(self) -> bool:
        return self._path.exists()

    def takes(self, size_bytes: int) -> int:
        return size_bytes

    def make(self, size_bytes: int) -> None:
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.posix_fallocate(handle, 0, size_bytes)
        finally:
            os.close(handle)

    def drop(self) -> None:
        self._path.unlink(missing_ok=True)
