"""Room on the disk of gitship's own data: pushes are refused in time, and a reserve is there for what must always work.

On a disk without a free byte neither a rollback nor `ps:stop` could be written down. So a file of RESERVE_BYTES is kept
that has no content worth anything: when the disk is nearly full it is given up, and made again once there is room.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
from contextlib import suppress
from pathlib import Path

from gitship.errors import DeployError

log = logging.getLogger("gitship.disk")
RESERVE = "reserve"
RESERVE_BYTES = 32 << 20  # a rollback writes under 1 MB: its record, its log, the VCL and what it is compiled to
RESERVE_SHARE = 20  # of a small disk no more than 1/20
LOW_BYTES = 4 << 20  # below this the reserve is given up


class Room:
    """Safe from any thread. What it looks at is one statvfs(2), 2 microseconds."""

    def __init__(self, data_dir: Path, min_free_bytes: int) -> None:
        self._data_dir = data_dir
        self._min_free_bytes = min_free_bytes
        self._reserve = data_dir / RESERVE
        self._lock = threading.Lock()
        self._held = self._reserve.exists()

    @property
    def free_bytes(self) -> int:
        return shutil.disk_usage(self._data_dir).free

    def ensure(self, what: str) -> None:
        """Raises DeployError that says what to do when there is less room than the setting asks for."""
        free = self.free_bytes
        if free < self._min_free_bytes:
            raise DeployError(
                f"the disk of {self._data_dir} is nearly full: {free >> 20} MB are free, {what} needs"
                f" {self._min_free_bytes >> 20} MB (disk.min_free)",
                "free some space: `server:cleanup --dry-run` shows what gitship can do without, `server:cleanup`"
                " removes it; apps serve on, and `releases:rollback` works meanwhile",
            )

    def look(self) -> None:
        """Gives the reserve up when it is needed. Called before anything is written to the store."""
        if self._held and self.free_bytes < LOW_BYTES:
            with self._lock:
                self._held = False
                with suppress(OSError):
                    self._reserve.unlink(missing_ok=True)
            log.error(
                "the disk of %s is full: the reserve is given up so that rollbacks still work; free some space:"
                " server:cleanup",
                self._data_dir,
            )

    def restock(self) -> None:
        """Makes the reserve again when there is room for it. Never raises."""
        usage = shutil.disk_usage(self._data_dir)
        size = min(RESERVE_BYTES, usage.total // RESERVE_SHARE)
        if self._held or usage.free < max(2 * size, LOW_BYTES + size):
            return
        with self._lock, suppress(OSError):
            handle = os.open(self._reserve, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                os.posix_fallocate(handle, 0, size)
            finally:
                os.close(handle)
            self._held = True
