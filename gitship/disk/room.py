"""Free space: on the disk of gitship's own data, and on Docker's."""

from __future__ import annotations

from dataclasses import dataclass

from gitship.core import Core
from gitship.disk.docker_space import DockerSpace
from gitship.disk.free_space import FreeSpace
from gitship.engine.docker import DockerEngine


@dataclass(frozen=True, slots=True)
class DiskRoom:
    data: FreeSpace
    docker: DockerSpace


def build(core: Core, engine: DockerEngine) -> DiskRoom:
    data = FreeSpace(core.settings.data_dir, core.settings.disk.min_free)
    core.store.before_writing = data.look
    engine.spare = docker = DockerSpace(engine.image_root, engine.images.ballast, data.reserve)
    return DiskRoom(data, docker)
