"""What can happen to the container of an app in a test's world."""

from __future__ import annotations

from typing import Any

from gitship.model import ContainerEvent, ContainerEventKind
from tests.unit.commands.world import World


def crash(world: World, app: str = "shop", **changes: Any) -> ContainerEvent:
    """The app's first live container has crashed."""
    found = world.store.app(app)
    container = world.store.containers(found.id)[0]
    values: dict[str, Any] = {
        "app_id": found.id,
        "container_id": container.id,
        "container": container.name,
        "process": container.process,
        "release": world.store.release(container.release_id).number,
        "at": 1_700_000_002.5,
        "kind": ContainerEventKind.CRASHED,
        "exit_code": 3,
        "detail": "exit code 3",
        "deaths": 2,
    }
    return ContainerEvent(**{**values, **changes})
