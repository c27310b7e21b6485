"""What containers print: as it comes, and kept."""

from __future__ import annotations

from dataclasses import dataclass

from gitship.core import Core
from gitship.engine.interface import Engine
from gitship.logs import directories
from gitship.logs.archive import LogArchive
from gitship.logs.stream import LogReader


@dataclass(frozen=True, slots=True)
class LogsRoom:
    kept: LogArchive
    tails: LogReader


def build(core: Core, engine: Engine) -> LogsRoom:
    kept = LogArchive(core.store, engine, core.settings.logs, core.settings.deploy.keep_releases)
    kept.sweep()
    directories.bring_over(core.settings.logs, core.store)
    return LogsRoom(kept, LogReader(core.store, core.bus, engine, kept))
