"""Starting containers, starting them again, and who may do so to an app's now."""

from __future__ import annotations

from dataclasses import dataclass

from gitship.containers.claims import Claims
from gitship.containers.container_starter import ContainerStarter
from gitship.containers.restart_delays import Restarts
from gitship.core import Core
from gitship.engine.room import EngineRoom
from gitship.logs.archive import LogArchive


@dataclass(frozen=True, slots=True)
class ContainersRoom:
    starter: ContainerStarter
    claims: Claims
    restarts: Restarts


def build(core: Core, engine: EngineRoom, kept: LogArchive) -> ContainersRoom:
    starter = ContainerStarter(engine.docker, engine.addresses, kept, core.server_id, core.store)
    return ContainersRoom(starter, Claims(), Restarts(core.store))
