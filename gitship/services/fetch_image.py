"""Images of services: fetched by name once, then run by their id and held by a tag of gitship's own."""

from __future__ import annotations

import time
from collections.abc import Collection

from gitship.config import Settings
from gitship.disk.docker_space import ensure_for_images
from gitship.engine import image_references
from gitship.engine import pull as pulls
from gitship.engine.interface import Engine
from gitship.errors import NotFound
from gitship.model.services import Service, VolumeUse
from gitship.services.tasks import TaskJournal
from gitship.store import Store

PREFIX = "gitship-service/"
PROGRESS_EVERY_S = 5.0
ID_CHARS = 12


class ServiceImages:
    """Safe from any thread."""

    def __init__(self, store: Store, engine: Engine, settings: Settings) -> None:
        self._store = store
        self._engine = engine
        self._settings = settings

    def fetch(self, text: str, journal: TaskJournal, *, newest: bool = False) -> str:
        """The id of the image of that name; asks its registry when the engine has none, or ``newest`` says so.

        Raises DeployError when the registry has none, or does not answer; EngineError.
        """
        reference = image_references.parse(text)
        if not newest:
            try:
                return self._engine.images.inspect(str(reference)).id
            except NotFound:
                pass
        with journal.stage(f"Pulling {reference}"):
            ensure_for_images(self._engine, self._settings.docker.min_free, "a pull")
            login = self._store.registry(reference.server)
            auth = pulls.authorization(login.server, login.username, login.password) if login else ""
            told = time.monotonic()

            def on_bytes(done: int, total: int) -> None:
                nonlocal told
                if total and time.monotonic() - told >= PROGRESS_EVERY_S:
                    told = time.monotonic()
                    journal.detail(f"{done / 1e6:.0f} of {total / 1e6:.0f} MB")

            timeout_s = self._settings.docker.build_timeout
            self._engine.images.pull(reference, auth, lambda line: None, on_bytes, journal.gone, timeout_s)
        return self._engine.images.inspect(str(reference)).id

    def needed(self, service: Service) -> set[str]:
        """The ids of what it runs, and of what it may go back to."""
        volumes = self._store.service_volumes(service.id)
        return {service.image_id, *(v.image_id for v in volumes if v.use is not VolumeUse.DISCARDED)} - {""}

    def hold(self, service: Service, before: Collection[str] = ()) -> None:
        """Tags what it needs; the tags of others go that it needed ``before``."""
        needed = self.needed(service)
        for image_id in needed:
            self._engine.images.tag(image_id, self._tag(service, image_id))
        for image_id in {*before} - needed:
            self._engine.images.untag(self._tag(service, image_id))

    def release(self, service: Service) -> None:
        """Takes its tags away; an image that somebody else has, or that has another name, stays."""
        for image_id in {v.image_id for v in self._store.service_volumes(service.id)} | {service.image_id} - {""}:
            self._engine.images.untag(self._tag(service, image_id))

    def _tag(self, service: Service, image_id: str) -> str:
        short = image_id.removeprefix("sha256:")[:ID_CHARS]
        return f"{PREFIX}{service.engine}:{self._store.server_id()}-{service.id}-{short}"
