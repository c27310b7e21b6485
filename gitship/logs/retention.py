"""Deletes old logs of deploys, runs and ended containers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gitship.logs import directories
from gitship.store import Store

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class OldLog:
    """``app`` is its app's name, None for one that is gone; ``place`` the directory with all of that app."""

    path: Path
    app: str | None
    place: Path
    bytes: int


def found(logs: Path, store: Store, days: int) -> Iterator[OldLog]:
    """Those last written ``days`` ago or earlier (0: never too old), and, after a day, those of apps that are gone."""
    writing = {(deploy.app_id, f"{deploy.id}.log") for deploy in store.unfinished_deploys()}
    now = time.time()
    for place, app in directories.all_of(logs, store):
        oldest = now - (1 if app is None else days) * DAY_S
        if app is not None and days == 0:
            continue
        for path in sorted(place.rglob("*.log*")):
            with suppress(FileNotFoundError):
                facts = path.stat()
                if facts.st_mtime <= oldest and (app is None or (app.id, path.name) not in writing):
                    yield OldLog(path, app.name if app else None, place, facts.st_blocks * 512)


def tidy(logs: Path, store: Store) -> None:
    """Removes the directories of apps that are gone, once there is no file in them."""
    for place, app in directories.all_of(logs, store):
        if app is None:
            directories.remove_empty(place)
