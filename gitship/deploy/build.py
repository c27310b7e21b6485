"""Build stage: checks disk space, sends the commit to the builder and shows its steps."""

from __future__ import annotations

import posixpath
import re
import threading

from gitship.appfiles.gitship_toml import ProcessLimits
from gitship.appfiles.manifest import Manifest
from gitship.containers.container_starter import COMMIT_NAMES
from gitship.deploy import send_context
from gitship.deploy.build_cache import shares_layers
from gitship.deploy.ignored_files import IgnoredFiles
from gitship.deploy.image_tags import cache_of, layers_of, tag_of
from gitship.deploy.journal import DeployJournal, StageHeading
from gitship.disk.docker_space import ensure_for_images
from gitship.disk.free_space import FreeSpace
from gitship.engine import types
from gitship.engine.build_errors import SEE_LOG
from gitship.engine.interface import Engine
from gitship.engine.types import BuildOptions, BuildOutput, BuildStep, Image
from gitship.errors import BuildError, DeployCanceled, DeployError
from gitship.git.build_context import prepare
from gitship.git.repository import Repository
from gitship.model import App
from gitship.store import Store

NONE, DEFAULT = "none", "default"  # networks of RUN lines
LINE_BYTES = 200  # what a line counts at least: handling one takes 20 us, however short it is
SLOW_STEP_S = 0.5  # a faster step is in the log only
# Mounts that only docker's own client can serve.
_SESSION = re.compile(rb"--mount=\S*type=(?:secret|ssh)\b")
NOW_CHARS = 126  # of the line about a step that runs
NAME_CHARS = 64  # of these for the step, when it prints something
_MOUNT = re.compile(r"--mount=\S+\s+")
INTERNAL = "[internal]"  # BuildKit's own vertices: loading the context and the Dockerfile


class Builder:
    """Builds at most ``max_builds`` images at once; the others wait their turn."""

    def __init__(
        self, engine: Engine, store: Store, *, max_builds: int, timeout_s: float, min_free_bytes: int, room: FreeSpace,
        output_bytes: int = 0, network: str = DEFAULT,
    ) -> None:  # fmt: skip
        """``output_bytes`` bounds what a build may print (0: nothing does); ``network`` none is none for every app."""
        self._output_bytes = output_bytes
        self._network = network
        self._room = room
        self._engine = engine
        self._store = store
        self._server_id = store.server_id()
        self._slots = threading.BoundedSemaphore(max_builds)
        self._timeout_s = timeout_s
        self._min_free_bytes = min_free_bytes

    def build(
        self,
        app: App,
        repository: Repository,
        commit: str,
        manifest: Manifest,
        journal: DeployJournal,
        stage: StageHeading,
        cancel: threading.Event,
        *,
        no_cache: bool,
        limits: ProcessLimits,
    ) -> Image:
        """Raises DeployError (with the failed step's last lines), DeployCanceled, GitError or EngineError."""
        self._guard_disk()
        self._guard_platform(manifest.build.platform)
        self._wait_for_slot(stage, cancel)
        try:
            context = prepare(
                repository.path, commit, subdirectory=manifest.build.context, dockerfile=manifest.build.dockerfile
            )
            dockerfile = _dockerfile(repository, commit, manifest)
            own = not shares_layers(dockerfile, manifest.build)
            options = BuildOptions(
                tag=tag_of(self._store, app, journal.deploy.id),
                dockerfile=manifest.build.dockerfile,
                target=manifest.build.target or "",
                build_args={**_commit_args(dockerfile, commit), **manifest.build.args},
                labels={
                    types.LABEL_SERVER: self._server_id,
                    types.LABEL_APP: app.name,
                    types.LABEL_APP_ID: str(app.id),
                },
                no_cache=no_cache,
                platform=manifest.build.platform,
                session=bool(_SESSION.search(dockerfile or b"")),
                secrets=manifest.build.values,
                timeout_s=self._timeout_s,
                memory_bytes=limits.memory_bytes,
                cpus=limits.cpus,
                cache=cache_of(self._store, app),
                layers=layers_of(self._store, app, manifest.build.values) if own else "",
                network=NONE if NONE in (self._network, manifest.build.network) else DEFAULT,
            )
            ignored = IgnoredFiles(repository.path, commit, context)
            for line in ignored.in_commands(manifest):
                stage.detail(line)
            files = send_context.sent(repository.path, context)
            progress = BuildProgress(journal, stage, self._output_bytes)
            stage.now = progress.now
            try:
                return self._engine.images.build(files, options, progress, cancel)
            except BuildError as error:
                error.hint = error.hint.replace(SEE_LOG, f"{SEE_LOG}: logs:deploy {app.name} {journal.deploy.id}")
                ignored.amend(error)
                raise
        finally:
            self._slots.release()

    def _guard_disk(self) -> None:
        self._room.ensure("a build")
        ensure_for_images(self._engine, self._min_free_bytes, "a build")

    def _guard_platform(self, platform: str) -> None:
        if not platform:
            return
        known = self._engine.capacity().platforms
        if platform not in known:
            raise DeployError(
                f"this server cannot build for {platform}",
                f"it can for {', '.join(known)}; more come with the Debian package qemu-user-static",
            )

    def _wait_for_slot(self, stage: StageHeading, cancel: threading.Event) -> None:
        if self._slots.acquire(blocking=False):
            return
        stage.detail("waiting for another build")
        stage.now = lambda: "waiting for another build"
        while not self._slots.acquire(timeout=0.25):
            if cancel.is_set():
                raise DeployCanceled("canceled while waiting for another build")


def _commit_args(dockerfile: bytes | None, commit: str) -> dict[str, str]:
    """The commit, for a Dockerfile that has an ARG for it: others keep their layers from one commit to the next."""
    text = dockerfile or b""
    return {name: commit for name in COMMIT_NAMES if re.search(rb"(?mi)^\s*ARG\s.*\b" + name.encode() + rb"\b", text)}


def shortened(text: str, most: int = NOW_CHARS) -> str:
    """One line, not much wider than a terminal."""
    return text if len(text) <= most else text[: most - 3] + "..."


def _dockerfile(repository: Repository, commit: str, manifest: Manifest) -> bytes | None:
    """None when it is not there, or a link, which leads the builder to another file."""
    path = posixpath.normpath(posixpath.join(manifest.build.context, manifest.build.dockerfile))
    return None if repository.is_link(commit, path) else repository.blob(commit, path)


class BuildProgress:
    """Build events to lines: slow steps for the push, everything for the log."""

    def __init__(self, journal: DeployJournal, stage: StageHeading, most_bytes: int = 0) -> None:
        self._journal = journal
        self._stage = stage
        self._most_bytes = most_bytes
        self._bytes = 0
        self._names: dict[int, str] = {}
        self._lock = threading.Lock()
        self._running: dict[int, str] = {}  # by number: its last line

    def now(self) -> str:
        """The step that has run for longest, and its last line; "" when none does."""
        with self._lock:
            if not self._running:
                return ""
            number, line = min(self._running.items())
            others = len(self._running) - 1
        name = _MOUNT.sub("", f"#{number} {self._names.get(number, '')}")
        line = line.split("\r")[-1].strip()
        said = f"{shortened(name, NAME_CHARS)}: {line}" if line else name
        return shortened(said) + (f" ({others} more at once)" if others else "")

    def _note(self, event: BuildStep | BuildOutput) -> None:
        with self._lock:
            if isinstance(event, BuildOutput):
                if event.number in self._running and event.text.strip():
                    self._running[event.number] = event.text
            elif event.cached or event.error or event.seconds is not None:
                self._running.pop(event.number, None)
            else:
                self._running[event.number] = ""

    def __call__(self, event: BuildStep | BuildOutput) -> None:
        self._note(event)
        if isinstance(event, BuildOutput):
            self._journal.raw(f"#{event.number} {event.text}")
            self._count(event)
            return
        self._names[event.number] = event.name
        name = f"#{event.number} {event.name}"
        if event.error:
            self._journal.raw(f"{name}: {event.error}")
        elif event.cached:
            self._journal.raw(f"{name} CACHED")
        elif event.seconds is None:
            self._journal.raw(name)
        elif event.seconds >= SLOW_STEP_S and not event.name.startswith(INTERNAL):
            self._stage.detail(name, event.seconds)
        else:
            self._journal.raw(f"{name} done {event.seconds:.1f}s")

    def _count(self, output: BuildOutput) -> None:
        """Raises DeployError when it is too much, which ends the build."""
        self._bytes += max(LINE_BYTES, len(output.text))
        if 0 < self._most_bytes < self._bytes:
            step = self._names.get(output.number, "")
            raise DeployError(
                f"the build's output exceeded {self._most_bytes >> 20} MB" + (f", last in {step}" if step else ""),
                "print less, or raise build_output in [docker] on the server",
                (output.text[:LINE_BYTES],),
            )
