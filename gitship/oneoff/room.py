"""One-off containers, and cron, which runs in such."""

from __future__ import annotations

from dataclasses import dataclass

from gitship.containers.claims import Claims
from gitship.core import Core
from gitship.engine.room import EngineRoom
from gitship.oneoff.cron import Cron
from gitship.oneoff.cron_runner import CronRunner
from gitship.oneoff.cron_scheduler import Scheduler
from gitship.oneoff.oneoffs import OneOffs


@dataclass(frozen=True, slots=True)
class OneOffRoom:
    """``scheduler`` is started apart: cron begins nothing before the server is ready."""

    one_offs: OneOffs
    cron: Cron
    scheduler: Scheduler

    def start(self) -> None:
        """Nothing: the reconciler takes up those that run."""

    def stop(self) -> None:
        self.one_offs.close()


def build(core: Core, engine: EngineRoom, claims: Claims) -> OneOffRoom:
    store, logs, timezone = core.store, core.settings.logs, core.settings.cron.timezone
    one_offs = OneOffs(store, engine.docker, engine.addresses, claims, logs, core.server_id, core.apart)
    runs = CronRunner(store, core.bus, one_offs, logs)
    return OneOffRoom(one_offs, Cron(store, timezone, runs), Scheduler(store, runs, timezone))
