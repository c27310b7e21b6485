"""Fetches an external image: from the engine or by a pull."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from gitship.config import Settings
from gitship.deploy import policy
from gitship.deploy.image_tags import PREFIX, held_by
from gitship.deploy.journal import DeployJournal, StageHeading
from gitship.disk.docker_space import ensure_for_images
from gitship.engine import image_references
from gitship.engine import pull as pulls
from gitship.engine.image_references import ImageReference
from gitship.engine.interface import Engine
from gitship.engine.types import Image
from gitship.engine.volumes import EMPTY_IMAGE
from gitship.errors import DeployError, NotFound
from gitship.model import App
from gitship.store import Store

PROGRESS_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class FetchedImage:
    """``source`` is how the very image can be had again: by its digest where that is known.

    ``passing`` is the name that the pull gave the image: to be taken away once a deploy holds it.
    """

    image: Image
    source: str
    passing: str = ""


class ImageFetcher:
    """A pull may take as long as a build."""

    def __init__(self, engine: Engine, store: Store, settings: Settings) -> None:
        self._engine = engine
        self._store = store
        self._settings = settings

    def fetch(
        self, app: App, text: str, journal: DeployJournal, stage: StageHeading, cancel: threading.Event, *, pull: bool
    ) -> FetchedImage:
        """The image of that name or id; asks its registry when the engine does not have it, or ``pull`` says so.

        The server's policy counts: for the name before a registry is asked, then for the image.
        Raises DeployError, DeployCanceled or EngineError.
        """
        fetched = self._fetched(app, text, journal, stage, cancel, pull)
        try:
            for warning in policy.ensure_image(self._settings, fetched.image):
                journal.line(f" !     {warning}")
        except DeployError:
            if fetched.passing:
                self._engine.images.untag(fetched.passing)
            raise
        return fetched

    def _fetched(
        self, app: App, text: str, journal: DeployJournal, stage: StageHeading, cancel: threading.Event, pull: bool
    ) -> FetchedImage:
        reference = image_references.parse(text)
        policy.ensure_reference(self._settings, str(reference))
        there = self._on_engine(app, reference)
        if there is not None and (reference.id or not pull):
            return FetchedImage(there, source_of(reference, there))
        if reference.id or reference.repository.startswith(PREFIX) or reference.repository == EMPTY_IMAGE:
            raise DeployError(
                f"the engine has no image {reference} that {app.name} may use",
                "use `releases:promote` for an image of another app",
            )
        self._pull(reference, journal, stage, cancel)
        image = self._on_engine(app, reference)
        if image is None:
            raise DeployError(f"pulling {reference} returned no image", "try again")
        return FetchedImage(image, source_of(reference, image), "" if there is not None else str(reference))

    def _on_engine(self, app: App, reference: ImageReference) -> Image | None:
        """Names only, no beginnings of ids; and no image that is there for other apps alone."""
        try:
            image = self._engine.images.inspect(str(reference))
        except NotFound:
            return None
        mine = held_by(self._store, app)
        names = [name for name in image.names if not name.startswith(PREFIX) or mine(name)]
        wanted = names if reference.id else [name for name in names if name == str(reference)]
        return image if wanted else None

    def _pull(
        self, reference: ImageReference, journal: DeployJournal, stage: StageHeading, cancel: threading.Event
    ) -> None:
        ensure_for_images(self._engine, self._settings.docker.min_free, "a pull")
        login = self._store.registry(reference.server)
        auth = pulls.authorization(login.server, login.username, login.password) if login else ""
        told, said = time.monotonic(), "asking the registry"

        def on_bytes(done: int, total: int) -> None:
            nonlocal told, said
            said = f"{done / 1e6:.0f} of {total / 1e6:.0f} MB" if total else "asking the registry"
            if total and time.monotonic() - told >= PROGRESS_EVERY_S:
                told = time.monotonic()
                stage.detail(said)

        stage.now = lambda: said

        self._engine.images.pull(reference, auth, journal.raw, on_bytes, cancel, self._settings.docker.build_timeout)


def source_of(reference: ImageReference, image: Image) -> str:
    """A tag may be another image's by the time that it is asked for."""
    digests = [name for name in image.names if name.startswith(f"{reference.repository}@")]
    return str(reference) if reference.digest or not digests else digests[0]
