"""Free space check on the disk of gitship's data, before pushes, with a reserve for rollbacks."""

from __future__ import annotations

from pathlib import Path

from gitship.disk.reserve import RESERVE, DiskReserve, ReserveFile
from gitship.errors import DeployError


class FreeSpace:
    """Safe from any thread."""

    def __init__(self, data_dir: Path, min_free_bytes: int) -> None:
        self._data_dir = data_dir
        self._min_free_bytes = min_free_bytes
        self.reserve = DiskReserve(data_dir, ReserveFile(data_dir / RESERVE))

    @property
    def free_bytes(self) -> int:
        return self.reserve.free_bytes

    def ensure(self, what: str) -> None:
        """Raises DeployError that says what to do when there is less room than the setting asks for."""
        free = self.free_bytes
        if free < self._min_free_bytes:
            raise DeployError(
                f"the disk of {self._data_dir} is nearly full: {free >> 20} MB are free, {what} needs"
                f" {self._min_free_bytes >> 20} MB (disk.min_free)",
                "free some space: `server:cleanup --dry-run` shows what gitship can remove, `server:cleanup` "
                "removes it; apps keep serving, and `releases:rollback` still works",
            )

    def look(self) -> None:
        """Gives the reserve up when it is needed. Called before anything is written to the store."""
        self.reserve.look()

    def restock(self) -> None:
        """Makes the reserve again when there is room for it. Never raises."""
        self.reserve.restock()
