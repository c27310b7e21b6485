"""Creates the release of a deploy: from a build, or from an image with other config or an older release."""

from __future__ import annotations

import dataclasses
import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from gitship.appfiles import app_json, app_json_env, mounts, overrides
from gitship.appfiles import manifest as manifests
from gitship.appfiles.manifest import Manifest
from gitship.appfiles.overrides import Overrides
from gitship.appsettings import GIVEN, PENDING, STOPPED
from gitship.config import Settings
from gitship.containers import capabilities
from gitship.containers.container_starter import image_gone
from gitship.deploy import output, policy, release_difference
from gitship.deploy.build import Builder
from gitship.deploy.external_image import ExternalImages
from gitship.deploy.image_tags import held_by, only_of
from gitship.deploy.job import Job
from gitship.deploy.manifest_source import Kept, manifest_of
from gitship.engine.interface import Engine
from gitship.engine.types import Image
from gitship.errors import DeployError, EngineError, GitshipError, NoDockerfile, NotFound
from gitship.git.build_context import tree_summary
from gitship.git.repository import Repositories, Repository
from gitship.model import App, Check, DeployKind, DeployState, Process, Release
from gitship.store import Store
from gitship.store.settings import Changes

MOST_IGNORED = 6  # of an app.json, in one line


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """A release on trial, and its manifest if known.

    ``config`` replaces the app's own once it is live; None leaves it, but for the changes that the job brings.
    ``wishes`` and ``settings`` are changes of config and settings by the commit's own words.
    ``context`` is the build context that a command had set when the image was built, ``pending`` what the setting
    of that name was before the release was made: what is set later is not part of it.
    """

    release: Release
    config: dict[str, str] | None = None
    manifest: Manifest | None = None
    is_new: bool = True
    context: str | None = None
    pending: float | None = None
    wishes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    settings: Changes = dataclasses.field(default_factory=dict)


class NewReleases:
    """Makes the candidate of a job; the only place that creates releases."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        repositories: Repositories,
        builder: Builder,
        foreign: ExternalImages,
        settings: Settings,
    ) -> None:
        self._foreign = foreign
        self._store = store
        self._engine = engine
        self._repositories = repositories
        self._builder = builder
        self._settings = settings

    def candidate(self, app: App, job: Job) -> Candidate:
        """Raises DeployError, DeployCanceled, GitError, ConfigError or EngineError; then nothing has changed."""
        pending = self._store.setting(app.id, PENDING)
        return dataclasses.replace(self._made(app, job, pending), pending=pending)

    def _made(self, app: App, job: Job, pending: float | None) -> Candidate:
        if job.kind is DeployKind.PUSH:
            return self._built(app, job)
        if job.kind in (DeployKind.PROMOTE, DeployKind.IMAGE):
            return self._taken(app, job)
        live = self._store.release(self._live_id(app))
        if job.kind is DeployKind.CONFIG:
            return self._reconfigured(app, job, live)
        if job.kind is DeployKind.ROLLBACK:
            return self._rolled_back(app, job, self._store.release(job.request.release_id or 0))
        if job.kind in (DeployKind.RESTART, DeployKind.START) and self._is_behind(app, live, pending):
            return self._reconfigured(app, job, live)
        if job.kind is DeployKind.RENAME and not self._store.setting(app.id, STOPPED):
            capabilities.live(app.name, live, self._store.app_settings(app.id))  # told by the name that it has now
        return Candidate(live, None, manifest_of(self._store, self._repositories, app, live), is_new=False)

    def _is_behind(self, app: App, live: Release, pending: float | None) -> bool:
        """True when something was set with --no-restart, or a directory of the host was taken away."""
        if pending or self._environment(self._store.config(app.id)) != live.config:
            return True
        return bool(capabilities.taken_away(live, self._store.app_settings(app.id)))

    def _built(self, app: App, job: Job) -> Candidate:
        began = time.monotonic()
        commit = job.deploy.commit or ""
        repository = self._repositories.open(app.name)
        changed = self._overrides(app, job)
        manifest = _read_manifest(repository, commit, changed.context)
        summary = tree_summary(repository.path, commit)
        subject = output.title(repository.commit(commit).subject)
        files = "1 file" if summary.files == 1 else f"{summary.files} files"
        line = f'{app.name}: {files}, {commit[:7]} "{subject}"'
        job.journal.line(output.headline(line, time.monotonic() - began))
        wishes, given = self._wishes(app, job, manifest)
        config = with_changes(self._store.config(app.id), wishes)
        manifest = overrides.building(manifest, changed, self._environment(config))
        with job.journal.stage(DeployState.BUILDING, f"Building {manifest.build.dockerfile}") as stage:
            policy.ensure_commit(self._settings, repository, commit, manifest.build)
            try:
                image = self._builder.build(
                    app, repository, commit, manifest, job.journal, stage, job.cancel, no_cache=job.request.no_cache,
                    limits=overrides.limits_of_builds(changed),
                )  # fmt: skip
            except NoDockerfile as error:
                raise DeployError(error.message, _where_it_is(error, app, changed)) from error
            with self._let_go_without_release(app, image):
                self._ensure_allowed(job, image)
        with self._let_go_without_release(app, image):
            made = self._create(app, job, image, manifest, commit, config, job.deploy.cause)
        self._tell_entrypoint(job, image, manifest, made.release)
        return dataclasses.replace(made, context=changed.context, wishes=wishes, settings=given)

    def _tell_entrypoint(self, job: Job, image: Image, manifest: Manifest, release: Release) -> None:
        """Dokku would start it: whoever has a Procfile for another host wonders why it does not run."""
        left_out = image.entrypoint and not release.entrypoint and manifest.entrypoint is None
        if left_out and any(process.command for process in release.processes):
            job.journal.detail(
                f"ENTRYPOINT {shlex.join(image.entrypoint)} does not run: the commands of the Procfile take its place;"
                " to run it with them: `entrypoint = true` in a gitship.toml; to run it alone: remove the Procfile"
            )

    def _wishes(self, app: App, job: Job, manifest: Manifest) -> tuple[dict[str, str], dict[str, Any]]:
        """Config and settings that app.json wants the app to have, which become its own once this is live."""
        config = self._store.config(app.id)
        given = self._store.setting(app.id, GIVEN)
        before = set(given or ())
        found = app_json_env.given(manifest.env, self._environment(config), before, app.name)
        if found:
            job.journal.detail(f"config by {app_json.FILE}: {app_json_env.told(manifest.env, found)}")
        if manifest.ignored:
            shown = ", ".join(manifest.ignored[:MOST_IGNORED]) + (", ..." if manifest.ignored[MOST_IGNORED:] else "")
            job.journal.detail(f"{app_json.FILE}: ignored: {shown}")
        once = {name for name, wanted in manifest.env.items() if wanted.optional}
        return found, GIVEN.to(tuple(sorted(once | before))) if once - before else {}

    @contextmanager
    def _let_go_without_release(self, app: App, image: Image) -> Iterator[None]:
        """A built image that comes to no release goes, unless an older one has it: even `apps:destroy` left it."""
        try:
            yield
        except GitshipError:
            if image.id not in {release.image_id for release in self._store.releases(app.id)}:
                with suppress(EngineError):
                    mine, untagged = held_by(self._store, app), only_of(self._store, app, image.id)
                    self._engine.images.remove(image.id, mine, untagged=untagged)
            raise

    def _ensure_allowed(self, job: Job, image: Image) -> None:
        for warning in policy.ensure_image(self._settings, image):
            job.journal.line(f" !     {warning}")

    def _taken(self, app: App, job: Job) -> Candidate:
        taken = self._foreign.take(app, job)
        wishes, given = self._wishes(app, job, taken.manifest or Manifest())
        config = with_changes(self._store.config(app.id), wishes)
        made = self._create(
            app, job, taken.image, taken.manifest, taken.commit, config, taken.cause, taken.like, taken.kept
        )
        self._foreign.hold(app, job, made.release, taken.passing)
        return dataclasses.replace(made, wishes=wishes, settings=given)

    def _reconfigured(self, app: App, job: Job, live: Release) -> Candidate:
        config = with_changes(self._store.config(app.id), job.request.config)
        image = self._existing_image(app, live)
        names = ", ".join(sorted(job.request.config)[:5]) + (", ..." if len(job.request.config) > 5 else "")
        changes = [f"config {names}"] if names else []
        changes += [overrides.describe(job.request.settings)] if job.request.settings else []
        what = ", ".join(changes) or (
            job.deploy.cause if job.kind is DeployKind.CONFIG else f"{job.kind} with what was set meanwhile"
        )
        job.journal.line(output.headline(f"{app.name}: {what}, image of {live.label}"))
        manifest = manifest_of(self._store, self._repositories, app, live)
        if manifest is None and job.request.settings:
            raise DeployError(
                f"the commit of {live.label} is not in the repository, so its Procfile and checks are unknown",
                "push again, then repeat the command",
            )
        kept = self._store.release_manifest(live.id)
        return self._create(app, job, image, manifest, live.commit, config, what, live, kept)

    def _rolled_back(self, app: App, job: Job, target: Release) -> Candidate:
        image = self._existing_image(app, target)
        settings = self._store.app_settings(app.id)
        without = (
            f"without it: git:deploy {app.name} {target.commit[:12]} --force" if target.commit else "or push again"
        )
        capabilities.still(app.name, target, settings, without)
        processes = capabilities.attached(mounts.found_again(target, settings), settings)
        job.journal.line(output.headline(f"{app.name}: back to {target.label}, {(target.commit or 'no commit')[:7]}"))
        self._tell_difference(app, job, target)
        release = self._store.create_release(
            app.id,
            commit=target.commit,
            image_id=image.id,
            image_bytes=image.size_bytes,
            config=target.config,
            processes=processes,
            cron=target.cron,
            cause=f"rollback to {target.label}",
            created_by=job.deploy.created_by,
            manifest=self._store.release_manifest(target.id),
            cache=target.cache,
        )
        self._foreign.hold(app, job, release)
        own, shared = self._store.config(app.id), self._store.global_config()
        config = {n: v for n, v in target.config.items() if n in own or shared.get(n) != v}
        return Candidate(release, config)

    def _tell_difference(self, app: App, job: Job, target: Release) -> None:
        """A rollback takes config back, too: an app that comes up without its database's address is no surprise."""
        live = self._store.release(self._live_id(app))
        if changes := release_difference.told(
            {**live.config, **self._environment(self._store.config(app.id))}, target.config
        ):
            job.journal.detail(f"config: {changes}")
        elif release_difference.alike(target, live):
            job.journal.detail(f"{target.label} is identical to {live.label}")
            older = [r for r in self._store.good_releases(app.id) if r.number < target.number]
            if other := release_difference.other_than(live, older):
                job.journal.detail(f"for an earlier one: releases:rollback {app.name} {other.label}")

    def _create(
        self,
        app: App,
        job: Job,
        image: Image,
        manifest: Manifest | None,
        commit: str | None,
        config: dict[str, str],
        cause: str,
        like: Release | None = None,
        kept: Kept | None = None,
    ) -> Candidate:
        """``like`` has the processes, cron entries and cache rules of a commit whose manifest is not known."""
        config = self._environment(config)
        processes, cron, cache = (like.processes, like.cron, like.cache) if like is not None else ((), (), {})
        if manifest is not None:
            cron = manifest.cron
            cache = manifest.cache
            manifest = overrides.running(manifest, self._overrides(app, job))
            entrypoint = self._runs_words(image, manifest)
            processes = planned(manifest, image, config, self._settings, entrypoint=entrypoint)
        settings = self._store.app_settings(app.id).changed(job.request.settings)
        processes = capabilities.attached(mounts.attached(processes, settings), settings)
        release = self._store.create_release(
            app.id,
            commit=commit,
            image_id=image.id,
            image_bytes=image.size_bytes,
            config=config,
            processes=processes,
            cron=cron,
            cause=cause,
            created_by=job.deploy.created_by,
            manifest=kept,
            cache=cache,
        )
        return Candidate(release, None, manifest)

    def _runs_words(self, image: Image, manifest: Manifest) -> bool:
        """Whether commands are for the image's ENTRYPOINT."""
        if not image.entrypoint:
            return False
        return self._engine.images.runs_words(image.id) if manifest.entrypoint is None else manifest.entrypoint

    def _environment(self, config: Mapping[str, str]) -> dict[str, str]:
        """An app's own config over that of all apps."""
        return {**self._store.global_config(), **config}

    def _existing_image(self, app: App, release: Release) -> Image:
        try:
            return self._engine.images.inspect(release.image_id)
        except NotFound:
            raise image_gone(app, release) from None

    def _overrides(self, app: App, job: Job) -> Overrides:
        """What commands have set, with the job's changes."""
        return overrides.parse(self._store.app_settings(app.id).changed(job.request.settings))

    def _live_id(self, app: App) -> int:
        if app.live_release is None:
            raise DeployError(f"{app.name} has no live release", "push to it first: git push deploy main")
        return app.live_release


def with_changes(config: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    """The config with the changes made; None unsets."""
    return {n: v for n, v in {**config, **changes}.items() if v is not None}


def _where_it_is(error: NoDockerfile, app: App, changed: Overrides) -> str:
    """The hint, with the app's name; without gitship.toml where a command has said the path, which comes first."""
    hint = error.hint
    if changed.dockerfile is not None or changed.context is not None:
        way = error.command or "builder:set APP --dockerfile PATH"
        hint = f"the path was set by command: {way}, or builder:unset APP --dockerfile --context; then push again"
    return hint.replace("builder:set APP", f"builder:set {app.name}").replace(
        "builder:unset APP", f"builder:unset {app.name}"
    )


def planned(
    manifest: Manifest, image: Image, config: dict[str, str], settings: Settings, *, entrypoint: bool = False
) -> tuple[Process, ...]:
    """The release's processes, ready to be run."""
    return tuple(
        dataclasses.replace(
            p,
            checks=tuple(_run_by_gitship(c, image) for c in p.checks),
            entrypoint=entrypoint,
        )
        for p in manifests.plan(manifest, image, config, settings)
    )


def _run_by_gitship(check: Check, image: Image) -> Check:
    """The image's HEALTHCHECK is run by gitship at once: Docker's own first look comes after its interval (30 s)."""
    return dataclasses.replace(check, command=image.healthcheck) if check.kind == "image" else check


def _read_manifest(repository: Repository, commit: str, context: str | None) -> Manifest:
    return manifests.read(lambda path: repository.blob(commit, path), context)
