"""How a service is now: its server's state and figures, and whether it could be upgraded."""

from __future__ import annotations

from dataclasses import dataclass

from gitship.engine.interface import Engine
from gitship.errors import GitshipError, NotFound
from gitship.model.services import Service
from gitship.services.room import ServicesRoom
from gitship.services.upgrade_due import UpgradeDue, upgrade_due


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """How a service is now. ``status`` is Docker's word, or "missing"; figures are None when it does not tell them.

    ``upgrade`` is looked for by a deep look only.
    """

    status: str
    connections: float | None = None
    size_bytes: float | None = None
    memory_bytes: int | None = None
    upgrade: UpgradeDue | None = None


def status(engine: Engine, room: ServicesRoom, service: Service, *, deep: bool = False) -> ServiceStatus:
    """``deep`` asks the server itself, too. Raises nothing for a service that is down."""
    upgrade = _upgrade_due(engine, room, service) if deep else None
    try:
        state = engine.inspect(service.container) if service.container else None
    except NotFound:
        state = None
    if state is None:
        return ServiceStatus("missing" if service.container else str(service.state), upgrade=upgrade)
    figures: dict[str, float] = {}
    if deep and state.status == "running":
        try:
            figures = room.containers.figures(service, state.id)
        except GitshipError:
            return ServiceStatus("unresponsive", upgrade=upgrade)
    usage = engine.usage(state.id) if state.status == "running" else None
    memory = usage.memory_bytes if usage is not None else None
    return ServiceStatus(state.status, figures.get("connections"), figures.get("size_bytes"), memory, upgrade)


def _upgrade_due(engine: Engine, room: ServicesRoom, service: Service) -> UpgradeDue | None:
    try:
        here = engine.images.inspect(service.image).id
    except NotFound:
        here = ""
    return upgrade_due(service, room.catalog().engines.get(service.engine), here)
