"""Containers of live releases, and their events."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Container:
    """A container of an app's live release, as the store wants it."""

    id: str
    name: str
    app_id: int
    release_id: int
    process: str
    index: int
    address: str
    port: int | None


class ContainerEventKind(StrEnum):
    """What can happen to a live container that nobody has asked for."""

    CRASHED = "crashed"
    OOM = "oom"
    CRASH_LOOP = "crash_loop"
    RESTARTED = "restarted"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True)
class ContainerEvent:
    """Something that happened to a live container. ``release`` is its number, ``detail`` the cause in words.

    ``exit_code`` None: it did not end, or nobody saw with what. ``deaths`` counts how often it has ended so far.
    """

    app_id: int
    container_id: str
    container: str
    process: str
    release: int
    at: float
    kind: ContainerEventKind
    exit_code: int | None = None
    detail: str = ""
    deaths: int = 0

    @property
    def text(self) -> str:
        """``crashed: exit code 3, restarting (2nd time)``."""
        return f"{_HAPPENED[self.kind]}: {self.detail}" + (
            f", restarting ({ordinal(self.deaths)} time)" if self.exit_code is not None else ""
        )


_HAPPENED = {
    ContainerEventKind.CRASHED: "crashed",
    ContainerEventKind.OOM: "killed",
    ContainerEventKind.CRASH_LOOP: "crash loop",
    ContainerEventKind.RESTARTED: "restarted",
    ContainerEventKind.UNHEALTHY: "unhealthy",
}


def ordinal(number: int) -> str:
    """``1st``, ``2nd``, ``3rd``, ``11th``."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
