"""Logs that are older than they are kept for: of deploys, of runs, and of containers that have ended."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gitship.store import Store

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class OldLog:
    path: Path
    app: str
    bytes: int


def found(logs: Path, store: Store, days: int) -> Iterator[OldLog]:
    """Those last written ``days`` ago or earlier (0: never too old), and, after a day, those of apps that are gone."""
    apps = {app.name: app.id for app in store.apps()}
    writing = {(deploy.app_id, f"{deploy.id}.log") for deploy in store.unfinished_deploys()}
    now = time.time()
    for directory in sorted(logs.iterdir()) if logs.is_dir() else ():
        if not directory.is_dir() or directory.name.startswith("."):
            continue
        app_id = apps.get(directory.name)
        oldest = now - (1 if app_id is None else days) * DAY_S
        if app_id is not None and days == 0:
            continue
        for path in sorted(directory.rglob("*.log*")):
            with suppress(FileNotFoundError):
                facts = path.stat()
                if facts.st_mtime <= oldest and (app_id, path.name) not in writing:
                    yield OldLog(path, directory.name, facts.st_blocks * 512)
