"""Daily maintenance: database copies, old logs and images, repacking.

A part that fails is logged and tried the next time; none keeps another from being done.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from gitship.config import Settings
from gitship.deploy.retire_images import retire_images
from gitship.disk.docker_space import DockerSpace
from gitship.disk.free_space import FreeSpace
from gitship.disk.image_store import ImageStoreWatch
from gitship.engine.interface import Engine
from gitship.errors import GitshipError
from gitship.operations.cleanup import Cleanup
from gitship.per_app_errors import PerAppErrors
from gitship.store import Store
from gitship.store.database_copies import DAILY

log = logging.getLogger("gitship.upkeep")
LOOK_S = 30.0
FIRST_TIDY_S = 900.0  # after the start: a server that has just been started has better things to do
TIDY_S = 6 * 3600.0
IN_USE_S = 3600  # build cache that was used within the hour stays, whatever the limit: the next push wants it


class Upkeep:
    """Owns one thread."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        engine: Engine,
        room: FreeSpace,
        docker_room: DockerSpace,
        cleanup: Cleanup,
    ) -> None:
        self._settings = settings
        self._store = store
        self._engine = engine
        self._room = room
        self._docker_room = docker_room
        self._cleanup = cleanup
        self._apart = PerAppErrors()
        self._image_store = ImageStoreWatch(store, engine)
        self._told: dict[str, str] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="upkeep", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(10.0)

    def tidy(self) -> None:
        """Everything that may take a while."""
        for part in (self._old_logs, self._old_images, self._build_cache, self._pack):
            if not self._stop.is_set():
                self._guarded(part)

    def look(self) -> None:
        """What is cheap: the reserves, Docker's image store, and once a day a copy of the database."""
        self._guarded(self._image_store.look)
        for room in (self._room, self._docker_room):
            self._guarded(room.restock)
            self._guarded(room.look)
        if self._store.copies.daily_is_due():
            self._guarded(self._copy)

    def _loop(self) -> None:
        left_s = FIRST_TIDY_S
        while True:
            self.look()
            if left_s <= 0:
                self.tidy()
                left_s = TIDY_S
            if self._stop.wait(LOOK_S):
                return
            left_s -= LOOK_S

    def _guarded(self, part: Callable[[], object]) -> None:
        """A reason that lasts is told once: the log may be on the disk that is full."""
        try:
            part()
            self._told.pop(part.__name__, None)
        except GitshipError as error:
            if self._told.get(part.__name__) != error.hint:
                log.warning("%s (%s)", error.message, error.hint)
            self._told[part.__name__] = error.hint
        except Exception:
            log.exception("upkeep")

    def _copy(self) -> None:
        self._room.ensure("a copy of the database")
        self._store.copies.make(DAILY)

    def _old_logs(self) -> None:
        for item in self._cleanup.prune_logs():
            log.info("removed %s of %s: %s", item.name, item.app, item.why)

    def _old_images(self) -> None:
        days = self._settings.disk.image_days
        for app in self._store.apps() if days else ():
            with self._apart.part(app.name, "its old images"):
                if any(deploy.app_id == app.id for deploy in self._store.unfinished_deploys()):
                    continue
                gone = retire_images(self._engine, self._store, app, self._settings.deploy.keep_releases, days)
                if gone:
                    log.info("%s: removed %d images that were older than %d days", app.name, gone, days)

    def _build_cache(self) -> None:
        most = self._settings.disk.build_cache
        freed = self._engine.images.prune_cache(most, IN_USE_S) if most else 0
        if freed:
            log.info("the build cache was above %d MB: freed %d MB", most >> 20, freed >> 20)

    def _pack(self) -> None:
        for item in self._cleanup.pack():
            log.info("%s: %s, %d KB freed", item.name, item.why, (item.bytes or 0) >> 10)
