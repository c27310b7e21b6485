"""The whole server in one archive."""

from __future__ import annotations

from gitship.backup.create import Backups
from gitship.core import Core
from gitship.engine.interface import Engine
from gitship.git.repository import Repositories
from gitship.volumes.lifecycle import VolumeLifecycle


def build(core: Core, engine: Engine, repositories: Repositories, volume_lifecycle: VolumeLifecycle) -> Backups:
    backups = Backups(core.settings, core.config, core.store, repositories, engine.volumes, volume_lifecycle)
    backups.sweep()
    return backups
