"""Which release a deploy brings: a newly built one, or an image that exists with other config or an older release's."""

from __future__ import annotations

import dataclasses
import time

from gitship.config import Settings
from gitship.deploy import manifest as manifests
from gitship.deploy import output
from gitship.deploy.build import Builder
from gitship.deploy.manifest import Manifest
from gitship.deploy.queue import Job
from gitship.engine.base import Engine, Image
from gitship.errors import DeployError, NotFound
from gitship.git.context import tree_summary
from gitship.git.repository import Repositories, Repository
from gitship.model import App, Check, DeployKind, DeployState, Process, Release
from gitship.store import Store


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """A release on trial, with what comes true in the store once it is live (``config``), and its manifest if known."""

    release: Release
    config: dict[str, str]
    manifest: Manifest | None = None
    is_new: bool = True


class Releasing:
    """Makes the candidate of a job; the only place that creates releases."""

    def __init__(
        self, store: Store, engine: Engine, repositories: Repositories, builder: Builder, settings: Settings
    ) -> None:
        self._store = store
        self._engine = engine
        self._repositories = repositories
        self._builder = builder
        self._settings = settings

    def candidate(self, app: App, job: Job) -> Candidate:
        """Raises DeployError, DeployCanceled, GitError, ConfigError or EngineError; then nothing has changed."""
        if job.kind is DeployKind.PUSH:
            return self._built(app, job)
        live = self._store.release(self._live_id(app))
        if job.kind is DeployKind.CONFIG:
            return self._reconfigured(app, job, live)
        if job.kind is DeployKind.ROLLBACK:
            return self._rolled_back(app, job, self._store.release(job.release_id or 0))
        return Candidate(live, self._store.config(app.id), self._manifest_of(app, live), is_new=False)

    def _built(self, app: App, job: Job) -> Candidate:
        began = time.monotonic()
        commit = job.commit or ""
        repository = self._repositories.open(app.name)
        manifest = _read_manifest(repository, commit)
        summary = tree_summary(repository.path, commit)
        subject = output.title(repository.commit(commit).subject)
        files = "1 file" if summary.files == 1 else f"{summary.files} files"
        line = f'{app.name}: {files}, {commit[:7]} "{subject}"'
        job.journal.line(output.headline(line, time.monotonic() - began))
        with job.journal.stage(DeployState.BUILDING, f"Building {manifest.build.dockerfile}") as stage:
            image = self._builder.build(
                app, repository, commit, manifest, job.journal, stage, job.cancel, no_cache=job.no_cache
            )
        return self._create(app, job, image, manifest, commit, self._store.config(app.id), f"push {commit[:7]}")

    def _reconfigured(self, app: App, job: Job, live: Release) -> Candidate:
        config = self._store.config(app.id)
        for name, value in job.config.items():
            if value is None:
                config.pop(name, None)
            else:
                config[name] = value
        image = self._existing_image(live)
        names = ", ".join(sorted(job.config)[:5]) + (", ..." if len(job.config) > 5 else "")
        job.journal.line(output.headline(f"{app.name}: config {names}, image of {live.label}"))
        manifest = self._manifest_of(app, live)
        return self._create(app, job, image, manifest, live.commit, config, f"config {names}", live.processes)

    def _rolled_back(self, app: App, job: Job, target: Release) -> Candidate:
        image = self._existing_image(target)
        job.journal.line(output.headline(f"{app.name}: back to {target.label}, {(target.commit or 'no commit')[:7]}"))
        release = self._store.create_release(
            app.id,
            commit=target.commit,
            image_id=image.id,
            image_bytes=image.size_bytes,
            config=target.config,
            processes=target.processes,
            cause=f"rollback to {target.label}",
            created_by=job.deploy.created_by,
        )
        return Candidate(release, dict(target.config))

    def _create(
        self,
        app: App,
        job: Job,
        image: Image,
        manifest: Manifest | None,
        commit: str | None,
        config: dict[str, str],
        cause: str,
        processes: tuple[Process, ...] = (),
    ) -> Candidate:
        if manifest is not None:
            processes = planned(manifest, image, config, self._settings)
        release = self._store.create_release(
            app.id,
            commit=commit,
            image_id=image.id,
            image_bytes=image.size_bytes,
            config=config,
            processes=processes,
            cause=cause,
            created_by=job.deploy.created_by,
        )
        return Candidate(release, config, manifest)

    def _existing_image(self, release: Release) -> Image:
        try:
            return self._engine.image(release.image_id)
        except NotFound:
            raise DeployError(
                f"the image of {release.label} is gone",
                f"build it again: git push -f deploy {(release.commit or 'COMMIT')[:12]}:main",
            ) from None

    def _manifest_of(self, app: App, release: Release) -> Manifest | None:
        """What the release's commit says, when the repository still has it."""
        if release.commit is None:
            return None
        repository = self._repositories.open(app.name)
        try:
            return _read_manifest(repository, release.commit)
        except NotFound:
            return None

    def _live_id(self, app: App) -> int:
        if app.live_release is None:
            raise DeployError(f"{app.name} has no live release", "push to it first: git push deploy main")
        return app.live_release


def planned(manifest: Manifest, image: Image, config: dict[str, str], settings: Settings) -> tuple[Process, ...]:
    """The release's processes, ready to be run."""
    return tuple(
        dataclasses.replace(
            p,
            checks=tuple(_run_by_gitship(c, image) for c in p.checks),
        )
        for p in manifests.plan(manifest, image, config, settings)
    )


def _run_by_gitship(check: Check, image: Image) -> Check:
    """The image's HEALTHCHECK is run by gitship at once: Docker's own first look comes after its interval (30 s)."""
    return dataclasses.replace(check, command=image.healthcheck) if check.kind == "image" else check


def _read_manifest(repository: Repository, commit: str) -> Manifest:
    return manifests.read(lambda path: repository.blob(commit, path))
