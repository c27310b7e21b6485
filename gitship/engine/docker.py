"""Docker implementation of the engine: containers on one machine through the Engine API."""

from __future__ import annotations

import dataclasses
import math
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from docker import APIClient
from docker import errors as docker_errors

from gitship.engine import (
    attach,
    container_json,
    containers,
    events,
    logs,
    networks,
    oneoff,
    platforms,
)
from gitship.engine.build_limits import BuildLimits
from gitship.engine.connection import EngineConnection
from gitship.engine.container_cgroups import CgroupMeters
from gitship.engine.docker_host import is_here
from gitship.engine.docker_images import DockerImages
from gitship.engine.errors import translated
from gitship.engine.interface import Program, ReserveSpace
from gitship.engine.label_hmac import LabelHmac
from gitship.engine.reserve_image import StoredImageId
from gitship.engine.retry_when_full import needs_room
from gitship.engine.types import (
    Capacity,
    ContainerSpec,
    ContainerState,
    EngineEvent,
    EngineInfo,
    LogLine,
    Usage,
)
from gitship.engine.volumes import DockerVolumes
from gitship.errors import EngineError, NotFound

TIMEOUT_S = 60.0
PRUNE_S = 600.0


class DockerEngine:
    """An Engine (see ``interface``). ``timeout_s`` bounds every plain call; safe from any thread."""

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
        secret: bytes = b"",
        kept: StoredImageId | None = None,
    ) -> None:
        """``builder`` is buildkit or classic; ``host_paths`` are directories that containers may have, and all below,
        but for ``private``; ``owner`` marks what it makes as this server's: files of builds on disk, the reserve.
        ``secret`` is for the seal on containers' labels; ``kept`` remembers which image the reserve is.

        Raises ConfigError when ``host`` is neither unix:// nor tcp://.
        """
        self.host = host
        self._timeout_s = timeout_s
        self._connection = EngineConnection(host, timeout_s)
        self._wire = self._connection.wire
        limits = build_limits or BuildLimits()
        self._images = DockerImages(
            self._connection, builder, limits, lambda: self.about().cgroup_driver, owner, kept, self
        )
        self._seal = LabelHmac(secret)
        self._volumes = DockerVolumes(
            self._wire, self._connection.client, self, host_paths, private, self._images.helpers
        )
        self._meters = CgroupMeters(lambda container_id: self.inspect(container_id).pid)

    def close(self) -> None:
        """Closes idle connections; the engine may be used again afterwards."""
        self._connection.close()

    @property
    def _docker(self) -> APIClient:
        return self._connection.client()

    @property
    def _api(self) -> str:
        return self._connection.api

    @property
    def images(self) -> DockerImages:
        return self._images

    @property
    def volumes(self) -> DockerVolumes:
        return self._volumes

    @property
    def spare(self) -> ReserveSpace:
        """What gives room on its disk when it has none."""
        return self._connection.spare

    @spare.setter
    def spare(self, spare: ReserveSpace) -> None:
        self._connection.spare = spare

    # -- the engine itself

    def ping(self) -> str:
        with translated(self.host, "tell its version"):
            return str(self._docker.version()["Version"])

    def about(self) -> EngineInfo:
        """Raises EngineError."""
        with translated(self.host, "tell about itself"):
            info = self._docker.info()
        security = {part for option in info.get("SecurityOptions") or () for part in str(option).split(",")}
        return EngineInfo(
            version=str(info["ServerVersion"]),
            live_restore=bool(info.get("LiveRestoreEnabled")),
            seccomp="name=seccomp" in security,
            user_namespaces=bool(security & {"name=userns", "name=rootless"}),
            cgroup_driver=str(info.get("CgroupDriver", "")),
        )

    def image_root(self) -> Path | None:
        return self._connection.places().images if self._here else None

    def free_bytes(self) -> int:
        places = self._connection.places()
        return min(_free_bytes(place) for place in {places.data, places.images})

    def capacity(self) -> Capacity:
        with translated(self.host, "tell what its machine has"):
            info = self._docker.info()
        return Capacity(int(info["NCPU"]), int(info["MemTotal"]), platforms.of(info["OSType"], info["Architecture"]))

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

    def connect(self, container_id: str, network: str, address: str, hosts: Sequence[str]) -> None:
        with translated(self.host, f"connect a container to {network}", missing=f"container {container_id[:12]}"):
            networks.connect(self._docker, container_id, network, address, hosts)

    def disconnect(self, container_id: str, network: str) -> None:
        with translated(self.host, f"disconnect a container from {network}"):
            networks.disconnect(self._docker, container_id, network)

    # -- containers

    @needs_room
    def create(self, spec: ContainerSpec) -> str:
        for mount in spec.mounts:
            self._volumes.ensure_usable(mount, spec.mounts)
        image = self._config_of(spec)
        spec = dataclasses.replace(spec, labels=self._seal.labels(spec.name, spec.labels, image.get("Labels") or {}))
        with translated(self.host, f"create container {spec.name}"):
            return containers.create(self._docker, spec, image)

    def _config_of(self, spec: ContainerSpec) -> Mapping[str, Any]:
        """The image's, which Docker gives to the container, too, where ``spec`` says nothing else."""
        try:
            return self._images.config(spec.image_id)
        except NotFound:
            raise containers.image_gone(spec) from None

    def _known(self, state: ContainerState) -> ContainerState:
        return dataclasses.replace(state, labels=self._seal.believed(state.name, state.labels))

    @needs_room
    def start(self, container_id: str) -> None:
        """Raises Conflict when the container's address is in use, EngineError with the runtime's words otherwise."""
        with translated(self.host, "start the container", missing=f"container {container_id[:12]}"):
            containers.start(self._docker, container_id)

    def inspect(self, container_id: str) -> ContainerState:
        with translated(self.host, "look at a container", missing=f"container {container_id[:12]}"):
            return self._known(container_json.state(self._docker.inspect_container(container_id)))

    def list(self, labels: Mapping[str, str]) -> list[ContainerState]:
        wanted = [f"{name}={value}" for name, value in labels.items()]
        with translated(self.host, "list its containers"):
            # containers.list() of docker-py inspects each one: 1381 ms against 41 at 300 containers
            rows = self._docker.containers(all=True, filters={"label": wanted})
            return [self._known(container_json.summary(row)) for row in rows]

    def leave_down(self, container_id: str) -> None:
        with translated(self.host, "change a container"), suppress(docker_errors.NotFound):
            self._docker.update_container(container_id, restart_policy={"Name": "no"})  # type: ignore[arg-type]

    def stop(self, container_id: str, timeout_s: float) -> None:
        with translated(self.host, "stop a container"):
            containers.stop(self._docker, container_id, timeout_s)

    def remove(self, container_id: str) -> None:
        self._meters.forget(container_id)
        with translated(self.host, "remove a container"):
            containers.remove(self._docker, container_id, self._timeout_s)

    # -- commands and logs

    def run(
        self, spec: ContainerSpec, on_line: Callable[[str], None], cancel: threading.Event, timeout_s: float
    ) -> int:
        return oneoff.run(self, self._wire, self._api, spec, on_line, cancel, timeout_s)

    def exec(
        self, container_id: str, command: tuple[str, ...], timeout_s: float, events: tuple[threading.Event, ...] = ()
    ) -> tuple[int, str]:
        return oneoff.execute(self._wire, self._api, container_id, command, timeout_s, events)

    def attach(self, container_id: str, *, terminal: bool, gone: threading.Event, timeout_s: float) -> Program:
        return attach.attach(self, self._wire, self._api, container_id, terminal, gone, timeout_s)

    def attach_exec(
        self,
        container_id: str,
        command: tuple[str, ...],
        *,
        env: Mapping[str, str],
        terminal: tuple[int, int] | None,
        gone: threading.Event,
        timeout_s: float = math.inf,
    ) -> Program:
        return attach.execute(self._wire, self._api, container_id, command, env, terminal, gone, timeout_s)

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
        return self._until_the_end(events.events(self._wire, self._api, labels, since, until, stop), stop)

    def _until_the_end(self, stream: Iterator[EngineEvent], stop: threading.Event) -> Iterator[EngineEvent]:
        """What answers after the end may be another Docker, in another version."""
        try:
            yield from stream
        finally:
            if not stop.is_set():
                self._connection.close()

    def changed(self, container_id: str) -> Mapping[str, bool]:
        with translated(self.host, "look into a container", missing=f"container {container_id[:12]}"):
            rows = self._docker.diff(container_id) or ()
            return {row["Path"]: row["Kind"] == 1 for row in rows if row["Kind"] != 2}  # 0 is changed, 2 removed

    def usage(self, container_id: str) -> Usage | None:
        return self._meters.usage(container_id) if self._here else None

    @property
    def _here(self) -> bool:
        """Its containers run on this machine."""
        return is_here(self.host)


def _free_bytes(directory: Path) -> int:
    for place in (directory, *directory.parents):
        try:
            return shutil.disk_usage(place).free
        except (PermissionError, FileNotFoundError):
            continue
    raise EngineError(f"the free space of {directory} cannot be told", "run gitship on the machine that runs Docker")
