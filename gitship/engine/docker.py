"""Containers on one machine, by the Docker Engine API. Nothing connects before the first call."""

from __future__ import annotations

import json
import math
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from docker import APIClient
from docker import errors as docker_errors

from gitship.engine import (
    attached,
    buildcli,
    buildlimits,
    builds,
    containers,
    events,
    images,
    logs,
    networks,
    oneoff,
    platforms,
    pulls,
)  # fmt: skip
from gitship.engine.ballast import ImageBallast
from gitship.engine.base import Program, Spare
from gitship.engine.buildlimits import BuildLimits, Limiter
from gitship.engine.connection import Connection
from gitship.engine.faults import conflict, start_failed, translated
from gitship.engine.meters import Meters
from gitship.engine.patience import Patience
from gitship.engine.references import Reference
from gitship.engine.spare import NoSpare, needs_room
from gitship.engine.values import (
    About,
    BuildOptions,
    BuildOutput,
    BuildStep,
    Capacity,
    ContainerSpec,
    ContainerState,
    EngineEvent,
    HeldImage,
    Image,
    LogLine,
    Usage,
)
from gitship.engine.volumes import DockerVolumes
from gitship.errors import EngineError, NotFound

TIMEOUT_S = 60.0
PRUNE_S = 600.0
_REMOVAL_POLL_S = 0.05


class DockerEngine:
    """An Engine (see ``base``). ``timeout_s`` bounds every plain call; safe from any thread."""

    def __init__(
        self,
        host: str,
        *,
        builder: str = "buildkit",
        timeout_s: float = TIMEOUT_S,
        build_limits: BuildLimits | None = None,
        host_paths: Sequence[Path] = (),
        private: Sequence[Path] = (),
        owner: str = "",
    ) -> None:
        """``builder`` is buildkit or classic; ``host_paths`` are directories that containers may have, and all below,
        but for ``private``; ``owner`` marks what it makes as this server's: files of builds on disk, the reserve.

        Raises ConfigError when ``host`` is neither unix:// nor tcp://.
        """
        self._owner = owner
        self.host = host
        self._builder = builder
        self._build_limits = build_limits or BuildLimits()
        self._limiter = Limiter(self._build_limits, host)
        self._timeout_s = timeout_s
        self._connection = Connection(host, timeout_s)
        self._wire = self._connection.wire
        self._volumes = DockerVolumes(self._wire, self._connection.client, self, host_paths, private)
        self._root: Path | None = None
        self.spare: Spare = NoSpare()
        self.ballast = ImageBallast(self._wire, self._connection.client, owner)
        self._meters = Meters(lambda container_id: self.inspect(container_id).pid)

    def close(self) -> None:
        """Closes idle connections; the engine may be used again afterwards."""
        self._connection.close()

    @property
    def _docker(self) -> APIClient:
        return self._connection.client()

    @property
    def _api(self) -> str:
        return f"/v{self._docker.api_version}"

    @property
    def volumes(self) -> DockerVolumes:
        return self._volumes

    # -- the engine itself

    def ping(self) -> str:
        with translated(self.host, "tell its version"):
            return str(self._docker.version()["Version"])

    def about(self) -> About:
        """Raises EngineError."""
        with translated(self.host, "tell about itself"):
            info = self._docker.info()
        security = {part for option in info.get("SecurityOptions") or () for part in str(option).split(",")}
        return About(
            version=str(info["ServerVersion"]),
            live_restore=bool(info.get("LiveRestoreEnabled")),
            seccomp="name=seccomp" in security,
            user_namespaces=bool(security & {"name=userns", "name=rootless"}),
            cgroup_driver=str(info.get("CgroupDriver", "")),
        )

    def root(self) -> Path | None:
        return self._data_directory() if self._here else None

    def free_bytes(self) -> int:
        root = self._data_directory()
        for place in (root, *root.parents):
            try:
                return shutil.disk_usage(place).free
            except (PermissionError, FileNotFoundError):
                continue
        raise EngineError(f"the free space of {root} cannot be told", "run gitship on Docker's own machine")

    def _data_directory(self) -> Path:
        if self._root is None:
            with translated(self.host, "tell its data directory"):
                self._root = Path(self._docker.info()["DockerRootDir"])
        return self._root

    def capacity(self) -> Capacity:
        with translated(self.host, "tell what its machine has"):
            info = self._docker.info()
        return Capacity(int(info["NCPU"]), int(info["MemTotal"]), platforms.of(info["OSType"], info["Architecture"]))

    # -- images

    def build(
        self,
        context: Iterable[bytes],
        options: BuildOptions,
        on_event: Callable[[BuildStep | BuildOutput], None],
        cancel: threading.Event,
    ) -> Image:
        if self._builder == "classic":
            options, limit = buildlimits.of_one(options, self._build_limits)
        else:
            limit = self._limiter.limit(lambda: self.about().cgroup_driver, on_event)
        client = buildcli.client(self.host) if options.session and self._builder == "buildkit" else None
        if client is not None:
            image_id = buildcli.build(client, self.host, self._owner, context, options, on_event, cancel)
        else:
            image_id = builds.build(self._wire, self._api, self._builder, context, options, on_event, cancel, limit)
        return self.image(image_id)

    def image(self, image_id: str) -> Image:
        return images.describe(self._image(image_id))

    def pull(
        self,
        reference: Reference,
        auth: str,
        on_line: Callable[[str], None],
        on_bytes: Callable[[int, int], None],
        cancel: threading.Event,
        timeout_s: float,
    ) -> None:
        pulls.pull(self._wire, self._api, reference, auth, on_line, on_bytes, cancel, timeout_s)

    def login(self, server: str, username: str, password: str) -> None:
        pulls.login(self._wire, self._api, server, username, password)

    @needs_room
    def tag(self, image_id: str, reference: str) -> None:
        repository, _, tag = reference.rpartition(":")
        with translated(self.host, "tag an image", missing=f"image {image_id[:19]}"):
            self._docker.tag(image_id, repository, tag)

    @needs_room
    def untag(self, reference: str) -> None:
        with translated(self.host, "take a tag away"), suppress(docker_errors.NotFound):
            self._docker.remove_image(reference)

    @needs_room
    def remove_image(self, image_id: str, mine: Callable[[str], bool], only_label: tuple[str, str]) -> bool:
        try:
            found = self._image(image_id)
        except NotFound:
            return True
        with translated(self.host, "remove an image"):
            return images.remove(self._docker, found, mine, only_label)

    def held_images(self, label: str, value: str, reference: str) -> list[HeldImage]:
        with translated(self.host, "list its images"):
            return images.held(self._docker, label, value, reference)

    def build_cache_bytes(self) -> int:
        with translated(self.host, "tell what the build cache takes"):
            return sum(int(row.get("Size") or 0) for row in self._docker.df().get("BuildCache") or ())

    @needs_room
    def prune_build_cache(self, keep_bytes: int, unused_s: int = 0) -> int:
        with translated(self.host, "prune the build cache"):
            query = {"all": "1", "keep-storage": str(keep_bytes)}
            if unused_s:
                query["filters"] = json.dumps({"until": [f"{unused_s}s"]})
            patience = Patience(time.monotonic() + PRUNE_S)
            path = f"{self._api}/build/prune"
            with self._wire.open("POST", path, query=query, patience=patience) as stream:
                oneoff.check(stream, "prune the build cache")
                return int(json.loads(stream.read_all(64 << 20)).get("SpaceReclaimed") or 0)

    def _image(self, image_id: str) -> dict[str, Any]:
        with translated(self.host, "look at an image", missing=f"image {image_id[:19]}"):
            found: dict[str, Any] = self._docker.inspect_image(image_id)  # type: ignore[no-untyped-call]
            return found

    # -- networks

    @needs_room
    def ensure_network(self, name: str, subnet: str, labels: Mapping[str, str]) -> bool:
        with translated(self.host, f"create network {name}"):
            return networks.ensure(self._docker, name, subnet, labels)

    def default_bridge(self) -> str:
        """The interface of the network that RUN steps of builds are in; "" when the engine has none."""
        with translated(self.host, "tell about its default network"):
            found = self._docker.networks(names=["bridge"])
        options = next((n.get("Options") or {} for n in found if n["Name"] == "bridge"), {})
        return str(options.get("com.docker.network.bridge.name", ""))

    def networks_with_ipv6(self, labels: Mapping[str, str]) -> list[str]:
        """Of those that carry the labels, and the one that RUN steps of builds are in."""
        with translated(self.host, "list its networks"):
            return networks.with_ipv6(self._docker, labels)

    def remove_network(self, name: str) -> None:
        """Raises Conflict while containers are in it."""
        with translated(self.host, f"remove network {name}"):
            networks.remove(self._docker, name)

    def networks(self, labels: Mapping[str, str]) -> list[str]:
        with translated(self.host, "list its networks"):
            return networks.names(self._docker, labels)

    # -- containers

    @needs_room
    def create(self, spec: ContainerSpec) -> str:
        for mount in spec.mounts:
            self._volumes.ensure_usable(mount)
        with translated(self.host, f"create container {spec.name}"):
            try:
                created = self._docker.create_container_from_config(  # type: ignore[no-untyped-call]
                    containers.arguments(spec), spec.name
                )
            except docker_errors.NotFound as error:
                raise NotFound(
                    f"container {spec.name} cannot be created: {error.explanation}", "deploy again"
                ) from error
            except docker_errors.APIError as error:
                raise conflict(spec.name, error) or error from None
            return str(created["Id"])

    @needs_room
    def start(self, container_id: str) -> None:
        """Raises Conflict when the container's address is in use, EngineError with the runtime's words otherwise."""
        with translated(self.host, "start the container", missing=f"container {container_id[:12]}"):
            try:
                self._docker.start(container_id)
            except docker_errors.NotFound as error:
                # the runtime's "no such file" for a command comes as a 404 on newer engines
                if "no such container" in str(error.explanation).lower():
                    raise
                raise start_failed(error) from error
            except docker_errors.APIError as error:
                raise conflict("", error) or start_failed(error) from error

    def inspect(self, container_id: str) -> ContainerState:
        with translated(self.host, "look at a container", missing=f"container {container_id[:12]}"):
            return containers.state(self._docker.inspect_container(container_id))

    def list(self, labels: Mapping[str, str]) -> list[ContainerState]:
        wanted = [f"{name}={value}" for name, value in labels.items()]
        with translated(self.host, "list its containers"):
            # containers.list() of docker-py inspects each one: 1381 ms against 41 at 300 containers
            rows = self._docker.containers(all=True, filters={"label": wanted})
            return [containers.summary(row) for row in rows]

    def stop(self, container_id: str, timeout_s: float) -> None:
        with translated(self.host, "stop a container"):
            try:
                self._docker.stop(container_id, timeout=math.ceil(timeout_s))
            except docker_errors.NotFound:
                return

    def remove(self, container_id: str) -> None:
        self._meters.forget(container_id)
        with translated(self.host, "remove a container"):
            try:
                self._docker.remove_container(container_id, v=True, force=True)
            except docker_errors.NotFound:
                return
            except docker_errors.APIError as error:
                if "already in progress" not in str(error.explanation):
                    raise
                self._await_removal(container_id)

    def _await_removal(self, container_id: str) -> None:
        deadline = time.monotonic() + self._timeout_s
        while time.monotonic() < deadline:
            try:
                self._docker.inspect_container(container_id)
            except docker_errors.NotFound:
                return
            time.sleep(_REMOVAL_POLL_S)
        raise EngineError(
            f"container {container_id[:12]} is being removed and does not go away", "see `docker ps -a` on the server"
        )

    # -- commands and logs

    def run(
        self, spec: ContainerSpec, on_line: Callable[[str], None], cancel: threading.Event, timeout_s: float
    ) -> int:
        return oneoff.run(self, self._wire, self._api, spec, on_line, cancel, timeout_s)

    def exec(self, container_id: str, command: tuple[str, ...], timeout_s: float) -> tuple[int, str]:
        return oneoff.execute(self._wire, self._api, container_id, command, timeout_s)

    def attach(self, container_id: str, *, terminal: bool, gone: threading.Event, timeout_s: float) -> Program:
        return attached.attach(self, self._wire, self._api, container_id, terminal, gone, timeout_s)

    def attach_exec(
        self,
        container_id: str,
        command: tuple[str, ...],
        *,
        env: Mapping[str, str],
        terminal: tuple[int, int] | None,
        gone: threading.Event,
    ) -> Program:
        return attached.execute(self._wire, self._api, container_id, command, env, terminal, gone)

    def logs(
        self,
        container_id: str,
        *,
        tail: int | None = None,
        since: float | None = None,
        follow: bool = False,
        stop: threading.Event | None = None,
    ) -> Iterator[LogLine]:
        name = self.inspect(container_id).name
        return logs.ContainerLog(
            self._wire, self._api, container_id, name, tail=tail, since=since, follow=follow, stop=stop
        )

    # -- watching

    def events(
        self, labels: Mapping[str, str], *, since: float, until: float | None = None, stop: threading.Event
    ) -> Iterator[EngineEvent]:
        return events.events(self._wire, self._api, labels, since, until, stop)

    def usage(self, container_id: str) -> Usage | None:
        return self._meters.usage(container_id) if self._here else None

    @property
    def _here(self) -> bool:
        """Its containers run on this machine."""
        return self.host.startswith("unix://")
