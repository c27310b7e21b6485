"""Docker volumes: create, find, remove, export and import.

What is in a volume is reached through a container that never runs, with the volume mounted in it: Docker's archive
calls work on it, and its image need have nothing in it. It is an image of gitship's own, of 0 bytes.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from docker import APIClient
from docker import errors as docker_errors

from gitship import tar
from gitship.engine import host_paths, volume_archive
from gitship.engine.docker_host import is_here
from gitship.engine.docker_http import DockerHttp
from gitship.engine.errors import translated
from gitship.engine.oneoff import TemporaryContainers, check
from gitship.engine.timeouts import Timeout
from gitship.engine.types import LABEL_HELPER, LABEL_SERVER, LABEL_VOLUME, ContainerSpec
from gitship.errors import GitshipError, NotFound
from gitship.model import Mount

log = logging.getLogger("gitship.volumes")
ROOT = ".gitship-volume"  # where the helper has the volume
EMPTY_IMAGE = "gitship-empty"  # its tag is the server's id
EMPTY_LAYER = f"sha256:{hashlib.sha256(tar.END).hexdigest()}"
SIZE_TIME_S = 0.2


class DockerVolumes:
    """Volumes (see ``interface``) of one engine."""

    def __init__(
        self,
        wire: DockerHttp,
        docker: Callable[[], APIClient],
        containers: TemporaryContainers,
        host_paths: Sequence[Path],
        private: Sequence[Path] = (),
        others: Callable[[], set[str]] = set,
    ) -> None:
        """``others`` are names of helpers for something else than volumes."""
        self._others = others
        self._wire = wire
        self._client = docker
        self._containers = containers
        self._host_paths = host_paths
        socket = wire.host.removeprefix("unix://")
        self.writable_above: Callable[[str], str | None] = lambda path: None  # see ``ensure_usable``
        self._private = (*private, Path(socket)) if socket != wire.host else tuple(private)
        self._lock = threading.Lock()
        self._helpers: set[str] = set()

    # -- volumes

    def make(self, name: str, labels: Mapping[str, str]) -> None:
        with translated(self._wire.host, f"make volume {name}"):
            self._client().create_volume(name, labels=dict(labels))

    def exists(self, name: str) -> bool:
        return self._mountpoint(name) is not None

    def remove(self, name: str) -> bool:
        with translated(self._wire.host, f"remove volume {name}"):
            try:
                self._client().remove_volume(name)
            except docker_errors.NotFound:
                return True
            except docker_errors.APIError as error:
                if error.status_code != 409:
                    raise
                return False
        return True

    def find(self, labels: Mapping[str, str]) -> dict[str, Mapping[str, str]]:
        wanted = [f"{name}={value}" for name, value in labels.items()]
        with translated(self._wire.host, "list its volumes"):
            rows = self._client().volumes(filters={"label": wanted})["Volumes"] or []
        return {row["Name"]: row.get("Labels") or {} for row in rows}

    def size_bytes(self, name: str) -> int | None:
        mountpoint = self._mountpoint(name)
        return None if mountpoint is None else _size(mountpoint, time.monotonic() + SIZE_TIME_S)

    def _mountpoint(self, name: str) -> str | None:
        """Where its files are on Docker's machine; None when there is no such volume."""
        with translated(self._wire.host, "look at a volume"):
            try:
                return str(self._client().inspect_volume(name)["Mountpoint"])
            except docker_errors.NotFound:
                return None

    # -- what containers mount

    def host_path(self, path: str) -> str:
        if self._host_paths and not is_here(self._wire.host):
            raise GitshipError(
                "cannot mount directories of another machine", "run gitship on the machine that runs Docker"
            )
        return host_paths.resolved(path, self._host_paths, self._private)

    def ensure_usable(self, mount: Mount, beside: Sequence[Mount] = ()) -> None:
        """Docker itself would make an empty volume in the place of one that is gone, and follow a symbolic link.

        ``writable_above`` tells a directory of the host in which a container may write and in which a path lies.
        """
        if mount.host:
            self._ensure_nobody_swaps(mount, beside)
            if self.host_path(mount.source) != mount.source:  # looked at again each time: what is below may be an app's
                raise GitshipError(
                    f"{mount.source} has become a symbolic link",
                    "mount the directory under its real name",
                )
        elif not self.exists(mount.volume):
            raise NotFound(
                f"the volume '{mount.source}' no longer exists in Docker",
                "restore a backup with `storage:import --replace`, or `storage:unmount` it",
            )

    def _ensure_nobody_swaps(self, mount: Mount, beside: Sequence[Mount]) -> None:
        """Between the look at the directory and Docker's there is a moment."""
        own = (m.source for m in beside if m.host and not m.read_only and m.source != mount.source)
        above = self.writable_above(mount.source)
        above = above or next((source for source in own if Path(mount.source).is_relative_to(source)), None)
        if above:
            raise GitshipError(
                f"{mount.source} lies in {above}, where containers may write: they could replace it with a link",
                "storage:unmount one of them, or mount the one above --read-only",
            )

    # -- content

    @contextmanager
    def read(self, name: str, labels: Mapping[str, str], gone: threading.Event) -> Iterator[Iterator[bytes]]:
        with (
            self._helper(name, labels, read_only=True) as path,
            self._wire.open("GET", path, query={"path": f"/{ROOT}/."}, patience=Timeout(events=(gone,))) as stream,
        ):
            check(stream, "read the volume")
            yield iter(stream.read, b"")

    def write(self, name: str, chunks: Iterable[bytes], labels: Mapping[str, str], gone: threading.Event) -> None:
        # Not at the volume's own root: there Docker leaves out owner and mode of the root itself, and refuses symbolic
        # links that lead up and out, as volumes may have them.
        body = volume_archive.inside(chunks, ROOT)
        with (
            self._helper(name, labels, read_only=False) as path,
            self._wire.open(
                "PUT",
                path,
                query={"path": "/"},
                body=body,
                content_type="application/x-tar",
                patience=Timeout(events=(gone,)),
            ) as stream,
        ):
            check(stream, "unpack the archive")

    def helpers(self) -> set[str]:
        with self._lock:
            return self._helpers | self._others()

    @contextmanager
    def _helper(self, volume: str, labels: Mapping[str, str], *, read_only: bool) -> Iterator[str]:
        """Where Docker's archive calls for a container with the volume are."""
        name = f"gitship-volume-{secrets.token_hex(6)}"
        spec = ContainerSpec(
            name=name,
            image_id=self._empty_image(labels[LABEL_SERVER]),
            network="none",
            command=("-",),
            labels={**labels, LABEL_HELPER: volume},
            restart=False,
            mounts=(Mount(labels[LABEL_VOLUME], f"/{ROOT}", read_only, volume),),
        )
        with self._lock:
            self._helpers.add(name)
        container_id = ""
        try:
            container_id = self._containers.create(spec)
            yield f"/v{self._client().api_version}/containers/{container_id}/archive"
        finally:
            try:
                if container_id:
                    self._containers.remove(container_id)
            except GitshipError as error:
                log.warning("%s: %s; the reconciler will remove it", name, error.message)
            with self._lock:
                self._helpers.discard(name)

    def _empty_image(self, server_id: str) -> str:
        """Its id. What has its tag and is not empty is somebody else's: the tag is taken back."""
        tag = f"{EMPTY_IMAGE}:{server_id}"
        docker = self._client()
        with translated(self._wire.host, "make an empty image"):
            with suppress(docker_errors.NotFound):
                found = docker.inspect_image(tag)  # type: ignore[no-untyped-call]
                if _is_empty(found):
                    return str(found["Id"])
            docker.import_image_from_data(
                tar.END, repository=EMPTY_IMAGE, tag=server_id, changes=[f"LABEL {LABEL_SERVER}={server_id}"]
            )
            return str(docker.inspect_image(tag)["Id"])  # type: ignore[no-untyped-call]


def _is_empty(image: Mapping[str, Any]) -> bool:
    """A container of it has the volume that is mounted and nothing else, not even a symbolic link in its place."""
    layers = (image.get("RootFS") or {}).get("Layers") or []
    return set(layers) <= {EMPTY_LAYER} and not (image.get("Config") or {}).get("Volumes")


def _size(directory: str, deadline: float) -> int | None:
    """Bytes on the disk; None when gitship may not look there or it takes too long."""
    total, waiting = 0, [directory]
    try:
        while waiting:
            with os.scandir(waiting.pop()) as found:
                for entry in found:
                    if time.monotonic() > deadline:
                        return None
                    facts = entry.stat(follow_symlinks=False)
                    total += facts.st_blocks * 512
                    if stat.S_ISDIR(facts.st_mode):
                        waiting.append(entry.path)
    except OSError:  # not gitship's to read, or removed just now
        return None
    return total
