"""Order in which the services of a Compose file start. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter

from gitship.compose.service import ReadService
from gitship.errors import ConfigError


def start_order(services: Mapping[str, ReadService]) -> tuple[str, ...]:
    """All names, each after what it depends on. Raises ConfigError for a circle."""
    sorter = TopologicalSorter({name: [d.service for d in one.depends_on] for name, one in services.items()})
    try:
        return tuple(sorter.static_order())
    except CycleError as error:
        circle = list(reversed(error.args[1]))
        value = services[circle[0]].value
        place = value.places.get(f"{value.path}.depends_on", value.place)
        raise ConfigError(
            f"{place}: services wait for each other: {' -> '.join(circle[:12])}",
            "remove one of these from depends_on or links",
        ) from None
