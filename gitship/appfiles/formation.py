"""Plans which containers of a release to keep, start and stop, from the wanted and the running ones. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gitship.model import Container, Process, Release


@dataclass(frozen=True, slots=True)
class Formation:
    """``keep`` runs on, ``start`` is how many new containers of each process, ``end`` goes after the switch."""

    keep: tuple[Container, ...]
    start: tuple[tuple[Process, int], ...]
    end: tuple[Container, ...]

    @property
    def summary(self) -> str:
        """``web x2, worker x1``."""
        return ", ".join(f"{process.type} x{count}" for process, count in self.start)


def quantity(process: Process, scale: Mapping[str, int]) -> int:
    """How many containers of the process are wanted: `ps:scale` says, else the app's own formation."""
    return scale.get(process.type, process.quantity)


def replace_all(release: Release, running: Iterable[Container], scale: Mapping[str, int]) -> Formation:
    """New containers for everything: another release, or a restart."""
    start = tuple((p, quantity(p, scale)) for p in release.processes if quantity(p, scale))
    return Formation((), start, tuple(running))


def end_all(release: Release, running: Iterable[Container], scale: Mapping[str, int]) -> Formation:
    """Nothing runs any more: the app is being stopped."""
    return Formation((), (), tuple(running))


def adjust(release: Release, running: Iterable[Container], scale: Mapping[str, int]) -> Formation:
    """Only what changes: the lowest indexes stay, what is missing starts, the rest ends."""
    by_type: dict[str, list[Container]] = {}
    for container in sorted(running, key=lambda c: c.index):
        by_type.setdefault(container.process, []).append(container)
    keep: list[Container] = []
    start: list[tuple[Process, int]] = []
    for process in release.processes:
        wanted = quantity(process, scale)
        have = by_type.pop(process.type, [])
        keep += have[:wanted]
        by_type[f" {process.type}"] = have[wanted:]
        if wanted > len(have):
            start.append((process, wanted - len(have)))
    return Formation(tuple(keep), tuple(start), tuple(c for rest in by_type.values() for c in rest))
