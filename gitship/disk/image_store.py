"""Detects that Docker switched its image store, which hides the images of releases."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable

from gitship.engine.interface import Engine, Images
from gitship.errors import NotFound
from gitship.store import Store
from gitship.store.image_stores import KnownImageStore

log = logging.getLogger("gitship.images")
WAY_BACK = (
    'set "containerd-snapshotter" in "features" of /etc/docker/daemon.json as it was and restart Docker, or build each'
    " app anew: ps:rebuild APP"
)


class ImageStoreWatch:
    """Writes down which store Docker keeps images in, and tells a change that took images away."""

    def __init__(self, store: Store, engine: Engine, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._engine = engine
        self._clock = clock

    def look(self) -> None:
        """Costs nothing while Docker runs on. Raises EngineError."""
        name, known = self._engine.images.store(), self._store.image_store()
        if known is not None and known.name == name:
            return
        if known is None:
            self._store.set_image_store(KnownImageStore(name, self._clock()))
            return
        lost = missing(self._engine.images, self._live())
        self._store.set_image_store(KnownImageStore(name, self._clock(), known.name))
        if lost:
            text = "Docker keeps images in %s now and kept them in %s before: those of %s are not there (%s)"
            log.error(text, name, known.name, listed(lost), WAY_BACK)

    def _live(self) -> Iterable[tuple[str, str]]:
        for app in self._store.apps():
            if app.live_release is not None:
                release = self._store.release(app.live_release)
                yield f"{app.name} {release.label}", release.image_id


def missing(images: Images, wanted: Iterable[tuple[str, str]]) -> list[str]:
    """Names of what has no image (any more), of pairs with the image's id. Raises EngineError."""
    return [name for name, image_id in wanted if not _there(images, image_id)]


def _there(images: Images, image_id: str) -> bool:
    try:
        images.inspect(image_id)
    except NotFound:
        return False
    return True


def listed(names: list[str], most: int = 3) -> str:
    """``a, b, c and 4 more``."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
