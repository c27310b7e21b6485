"""Deploys of existing images: of another app's release, or any image by name."""

from __future__ import annotations

from dataclasses import dataclass

from gitship.appfiles.manifest import Manifest
from gitship.deploy import manifest_source, output
from gitship.deploy.fetch_image import ImageFetcher
from gitship.deploy.image_tags import tag_of
from gitship.deploy.job import Job
from gitship.deploy.manifest_source import NO_FILES, Kept
from gitship.engine.interface import Engine
from gitship.engine.types import Image
from gitship.errors import DeployError, NotFound
from gitship.git.repository import Repositories
from gitship.model import App, DeployKind, DeployState, Release
from gitship.store import Store


@dataclass(frozen=True, slots=True)
class ExternalImage:
    """What the release will be made of; without a ``manifest`` it runs what ``like``, the other app's release, does."""

    image: Image
    cause: str
    commit: str | None = None
    manifest: Manifest | None = None
    kept: Kept | None = None
    like: Release | None = None
    passing: str = ""


class ExternalImages:
    """``take`` changes nothing; once the release is made, ``hold`` makes its image the app's own."""

    def __init__(self, store: Store, engine: Engine, repositories: Repositories, fetcher: ImageFetcher) -> None:
        self._store = store
        self._engine = engine
        self._repositories = repositories
        self._fetcher = fetcher

    def take(self, app: App, job: Job) -> ExternalImage:
        """Raises DeployError, DeployCanceled or EngineError."""
        if job.kind is DeployKind.PROMOTE:
            return self._promoted(app, job)
        with job.journal.stage(DeployState.BUILDING, f"Fetching {job.request.image}") as stage:
            fetched = self._fetcher.fetch(app, job.request.image, job.journal, stage, job.cancel, pull=job.request.pull)
        kept = {**NO_FILES, manifest_source.IMAGE: fetched.source}
        return ExternalImage(fetched.image, job.deploy.cause, None, Manifest(), kept, passing=fetched.passing)

    def hold(self, app: App, job: Job, release: Release, passing: str = "") -> None:
        """From here on the image stays for as long as the app needs it. Raises DeployError when it is gone."""
        try:
            self._engine.images.tag(release.image_id, tag_of(self._store, app, job.deploy.id))
        except NotFound:
            raise DeployError("the image was just removed", "try again") from None
        if passing:
            self._engine.images.untag(passing)

    def _promoted(self, app: App, job: Job) -> ExternalImage:
        source = self._store.release(job.request.release_id or 0)
        owner = self._store.app_by_id(source.app_id)
        commit = (source.commit or "no commit")[:7]
        job.journal.line(output.headline(f"{app.name}: {owner.name} {source.label}, {commit}"))
        try:
            image = self._engine.images.inspect(source.image_id)
        except NotFound:
            raise DeployError(
                f"the image of {owner.name} {source.label} no longer exists",
                f"choose a newer one: releases:list {owner.name}",
            ) from None
        return ExternalImage(
            image,
            job.deploy.cause,
            source.commit,
            manifest_source.manifest_of(self._store, self._repositories, owner, source),
            manifest_source.keep(self._store, self._repositories, owner, source),
            source,
        )
