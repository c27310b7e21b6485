"""Free space check on Docker's disk, before builds and pulls, with a reserve for rollbacks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from gitship.disk.reserve import DiskReserve, ReserveFiller
from gitship.engine.interface import Engine
from gitship.errors import DeployError, EngineError
from gitship.store import Store

Got = TypeVar("Got")
RESERVE_IMAGE = "reserve-image"  # a setting of the server: the id of the image that is the reserve


def ensure_for_images(engine: Engine, min_free_bytes: int, what: str) -> None:
    """Raises DeployError that says what to do when Docker has less room for images than the setting asks for."""
    free = engine.free_bytes()
    if free < min_free_bytes:
        raise DeployError(
            f"only {free >> 20} MB are free where Docker keeps its images, {what} needs {min_free_bytes >> 20} MB",
            "`server:cleanup --dry-run` shows what gitship can remove, `server:cleanup --build-cache` removes "
            "it; then try again. Apps keep serving, and `releases:rollback` still works",
        )


class DockerSpace:
    """The engine's ``spare``: asked before Docker writes, and when it had no room to. Safe from any thread."""

    def __init__(self, root: Callable[[], Path | None], ballast: ReserveFiller, data: DiskReserve) -> None:
        """``root`` is ``Engine.image_root``; ``data`` the reserve of gitship's own data, for one disk of both."""
        self._root = root
        self._ballast = ballast
        self._data = data
        self._found: tuple[Path, DiskReserve] | None = None

    def look(self) -> None:
        """Gives the reserve up when it is needed. Never raises."""
        self._with(DiskReserve.look)

    def give_up(self) -> bool:
        """True when there is room now that was not there before. Never raises."""
        return bool(self._with(DiskReserve.give_up))

    def restock(self) -> None:
        """Makes the reserve again when there is room for it. Never raises."""
        self._with(DiskReserve.restock)

    def _with(self, act: Callable[[DiskReserve], Got]) -> Got | None:
        with suppress(OSError, EngineError):  # its disk is not mounted just now, Docker does not answer
            self._find()
        return act(self._found[1]) if self._found is not None else None

    def _find(self) -> None:
        """Nothing is found where Docker's disk is another machine's. Docker may be led to another disk."""
        root = self._root()
        if root is None or (self._found is not None and self._found[0] == root) or not root.exists():
            return
        one = same_disk(root, self._data.directory)
        self._found = root, self._data if one else DiskReserve(root, self._ballast)


class ReserveImageSetting:
    """Which image the reserve is (see ``engine.reserve_image``), in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self) -> str:
        return str(self._store.server_setting(RESERVE_IMAGE) or "")

    def set(self, image_id: str) -> None:
        self._store.set_server_setting(RESERVE_IMAGE, image_id)


def same_disk(one: Path, other: Path) -> bool:
    return one.stat().st_dev == other.stat().st_dev
