"""The volumes of apps, and the directories of the host that apps may write in."""

from __future__ import annotations

from gitship.core import Core
from gitship.engine.docker import DockerEngine
from gitship.volumes.host_directories import HostDirectories
from gitship.volumes.lifecycle import VolumeLifecycle


def build(core: Core, engine: DockerEngine) -> VolumeLifecycle:
    engine.volumes.writable_above = HostDirectories(core.store).writable_above
    return VolumeLifecycle(core.store, engine, core.server_id, core.apart)
