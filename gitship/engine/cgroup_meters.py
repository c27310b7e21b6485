"""Resource use of containers of this machine, read from their cgroups."""

from __future__ import annotations

from collections.abc import Callable

from gitship.engine import container_cgroups
from gitship.engine.types import Usage
from gitship.errors import NotFound


class CgroupMeters:
    """Remembers each container's cgroup: it stays the same when the container starts again.

    ``pid_of`` gives a container's first process and raises NotFound when the container is gone.
    """

    def __init__(self, pid_of: Callable[[str], int]) -> None:
        self._pid_of = pid_of
        self._groups: dict[str, container_cgroups.ContainerCgroup] = {}

    def forget(self, container_id: str) -> None:
        """The container goes."""
        self._groups.pop(container_id, None)

    def usage(self, container_id: str) -> Usage | None:
        """None when the container is gone, or its cgroup cannot be found."""
        known = self._groups.get(container_id)
        if known is not None and (usage := container_cgroups.read(known)):
            return usage
        self.forget(container_id)
        try:
            found = container_cgroups.find(container_id, self._pid_of(container_id))
        except NotFound:
            return None
        if found is None:
            return None
        self._groups[container_id] = found
        return container_cgroups.read(found)
