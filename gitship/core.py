"""What every room is built from, and how the parts that rooms build are started and stopped."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gitship.config import Settings
from gitship.events import Bus
from gitship.per_app_errors import PerAppErrors
from gitship.store import Store


class Part(Protocol):
    """What runs: a room, or one of its objects."""

    def start(self) -> None:
        """Raises GitshipError when the server cannot run without it; what one app causes is only logged."""
        ...

    def stop(self) -> None:
        """Also when it was never started, or by half."""
        ...


def started(parts: Iterable[Part]) -> ExitStack:
    """Starts them in order; closing what it returns stops them in reverse, also when one of them fails to stop.

    When one fails to start, it and those before it are stopped again, and its error is raised.
    """
    with ExitStack() as running:
        for part in parts:
            running.callback(part.stop)
            part.start()
        return running.pop_all()


@dataclass(frozen=True, slots=True)
class Core:
    """``config`` is the settings' own file. ``apart`` is for all that a round of the reconciler does to containers."""

    settings: Settings
    config: Path | None
    store: Store
    server_id: str
    bus: Bus
    apart: PerAppErrors

    @classmethod
    def of(cls, settings: Settings, config: Path | None) -> Core:
        store = Store(settings.database, copies=settings.disk.copies)
        return cls(settings, config, store, store.server_id(), Bus(), PerAppErrors())

    def start(self) -> None:
        """Nothing: the store is open."""

    def stop(self) -> None:
        self.store.close()
