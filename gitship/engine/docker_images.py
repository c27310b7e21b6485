"""Images in Docker: build, pull, tag, remove, and the build cache."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from docker import APIClient
from docker import errors as docker_errors

from gitship.engine import (
    api_versions,
    build_api,
    build_cli,
    build_limits,
    build_session,
    image_files,
    images,
    oneoff,
    progress_classic,
    pull,
)
from gitship.engine.build_limits import BuildLimiter, BuildLimits
from gitship.engine.connection import EngineConnection
from gitship.engine.errors import refused, translated, unreachable
from gitship.engine.image_references import ImageReference
from gitship.engine.interface import ReserveSpace
from gitship.engine.reserve_image import ReserveImage, StoredImageId
from gitship.engine.retry_when_full import needs_room
from gitship.engine.source_tree import SourceTree
from gitship.engine.timeouts import Timeout, TimeoutExpired
from gitship.engine.types import (
    LABEL_HELPER,
    LABEL_SERVER,
    BuildOptions,
    BuildOutput,
    BuildStep,
    ContainerSpec,
    HeldImage,
    Image,
)
from gitship.errors import NotFound

PRUNE_S = 600.0


class DockerImages:
    """Images of ``interface`` in Docker. Safe from any thread."""

    def __init__(
        self,
        connection: EngineConnection,
        builder: str,
        build_limits: BuildLimits,
        cgroup_driver: Callable[[], str],
        owner: str,
        kept: StoredImageId | None = None,
        containers: oneoff.TemporaryContainers | None = None,
    ) -> None:
        """As for ``DockerEngine``; ``cgroup_driver`` is asked before a build is limited.

        ``containers`` makes the one through which an image's files are read.
        """
        self._containers = containers
        self._connection = connection
        self._wire = connection.wire
        self._host = connection.wire.host
        self._builder = builder
        self._build_limits = build_limits
        self._limiter = BuildLimiter(build_limits, self._host)
        self._cgroup_driver = cgroup_driver
        self._owner = owner
        self.ballast = ReserveImage(connection, owner, kept)
        self._lock = threading.Lock()
        self._helpers: set[str] = set()

    @property
    def spare(self) -> ReserveSpace:
        return self._connection.spare

    @property
    def _docker(self) -> APIClient:
        return self._connection.client()

    @property
    def _api(self) -> str:
        return self._connection.api

    def build(
        self,
        context: Iterable[bytes],
        options: BuildOptions,
        on_event: Callable[[BuildStep | BuildOutput], None],
        cancel: threading.Event,
    ) -> Image:
        if self._builder == "classic":
            progress_classic.ensure_usable(options)
            options, limit = build_limits.of_one(options, self._build_limits)
        else:
            limit = self._limiter.limit(self._cgroup_driver, on_event)
        client = build_cli.client(self._host) if options.session and self._builder == "buildkit" else None
        if client is not None:
            image_id = build_cli.build(client, self._host, self._owner, context, options, on_event, cancel)
        elif isinstance(context, SourceTree) and self._builder == "buildkit" and not options.session:
            image_id = build_session.build(self._wire, self._api, context, options, on_event, cancel, limit)
        else:
            image_id = build_api.build(self._wire, self._api, self._builder, context, options, on_event, cancel, limit)
        return self.inspect(image_id)

    def store(self) -> str:
        return self._connection.places().store

    def inspect(self, image_id: str) -> Image:
        found = self._look_at(image_id)
        if not self._connection.places().by_containerd:
            return images.describe(found)
        with translated(self._host, "tell an image's size", missing=f"image {image_id[:19]}"):
            return images.describe(found, images.unpacked_bytes(self._docker, found))

    def config(self, image_id: str) -> Mapping[str, Any]:
        """What containers of the image get from it; a stranger's words. Raises NotFound."""
        return self._look_at(image_id).get("Config") or {}

    @needs_room
    def runs_words(self, image_id: str) -> bool:
        found = self._look_at(image_id)
        labels = {LABEL_SERVER: self._owner, LABEL_HELPER: "entrypoint"}
        with translated(self._host, "read an image's ENTRYPOINT"), self._helper() as name:
            assert self._containers is not None
            spec = ContainerSpec(name, image_id, "none", command=("-",), labels=labels, restart=False)
            return image_files.runs_words(self._docker, found, self._containers, spec)

    @contextmanager
    def _helper(self) -> Iterator[str]:
        """The name of a container that the reconciler leaves alone meanwhile."""
        name = f"gitship-image-{secrets.token_hex(6)}"
        with self._lock:
            self._helpers.add(name)
        try:
            yield name
        finally:
            with self._lock:
                self._helpers.discard(name)

    def helpers(self) -> set[str]:
        """Names of the containers through which images are read now."""
        with self._lock:
            return set(self._helpers)

    def pull(
        self,
        reference: ImageReference,
        auth: str,
        on_line: Callable[[str], None],
        on_bytes: Callable[[int, int], None],
        cancel: threading.Event,
        timeout_s: float,
    ) -> None:
        pull.pull(self._wire, self._api, reference, auth, on_line, on_bytes, cancel, timeout_s)

    def login(self, server: str, username: str, password: str) -> None:
        pull.login(self._wire, self._api, server, username, password)

    @needs_room
    def tag(self, image_id: str, reference: str) -> None:
        repository, _, tag = reference.rpartition(":")
        with translated(self._host, "tag an image", missing=f"image {image_id[:19]}"):
            self._docker.tag(image_id, repository, tag)

    @needs_room
    def untag(self, reference: str) -> None:
        with translated(self._host, "take a tag away"), suppress(docker_errors.NotFound):
            self._docker.remove_image(reference)

    @needs_room
    def remove(self, image_id: str, mine: Callable[[str], bool], *, untagged: bool) -> bool:
        try:
            found = self._look_at(image_id)
        except NotFound:
            return True
        with translated(self._host, "remove an image"):
            return images.remove(self._docker, found, mine, untagged=untagged)

    def held(self, label: str, value: str, reference: str) -> list[HeldImage]:
        with translated(self._host, "list its images"):
            return images.held(self._docker, label, value, reference)

    def cache_bytes(self) -> int:
        answer = self._answer("tell what the build cache takes", "GET", "/system/df", {"type": "build-cache"})
        if "BuildCacheUsage" in answer:
            return int((answer["BuildCacheUsage"] or {}).get("TotalSize") or 0)
        return sum(int(row.get("Size") or 0) for row in answer.get("BuildCache") or ())

    @needs_room
    def prune_cache(self, keep_bytes: int, unused_s: int = 0) -> int:
        keep = "reserved-space" if api_versions.at_least(self._api, api_versions.RESERVED_SPACE) else "keep-storage"
        query = {"all": "1", keep: str(keep_bytes)}
        if unused_s:
            query["filters"] = json.dumps({"until": [f"{unused_s}s"]})
        answer = self._answer("prune the build cache", "POST", "/build/prune", query)
        return int(answer.get("SpaceReclaimed") or 0)

    def _answer(self, doing: str, method: str, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        """Of a call that may take long. Raises EngineError."""
        patience = Timeout(time.monotonic() + PRUNE_S)
        try:
            with self._wire.open(method, f"{self._api}{path}", query=query, patience=patience) as stream:
                oneoff.check(stream, doing)
                answer = json.loads(stream.read_all(64 << 20))
        except TimeoutExpired as error:
            raise unreachable(self._host, "timed out") from error
        except ValueError as error:
            raise refused(doing, "what it answers is not JSON") from error
        return answer if isinstance(answer, dict) else {}

    def _look_at(self, image_id: str) -> dict[str, Any]:
        with translated(self._host, "look at an image", missing=f"image {image_id[:19]}"):
            found: dict[str, Any] = self._docker.inspect_image(image_id)  # type: ignore[no-untyped-call]
            return found
