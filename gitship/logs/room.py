"""What containers print: as it comes, and kept."""

from __future__ import annotations

from dataclasses import dataclass

from gitship.core import Core
from gitship.engine.interface import Engine
from gitship.logs import directories
from gitship.logs.archive import KeptLogs
from gitship.logs.stream import Tails


@dataclass(frozen=True, slots=True)
class LogsRoom:
    kept: KeptLogs
    tails: Tails


def build(core: Core, engine: Engine) -> LogsRoom:
    kept = KeptLogs(core.store, engine, core.settings.logs, core.settings.deploy.keep_releases)
    kept.sweep()
    directories.bring_over(core.settings.logs, core.store)
    return LogsRoom(kept, Tails(core.store, core.bus, engine, kept))
