"""What is counted: visitors' requests, and what containers use."""

from __future__ import annotations

from dataclasses import dataclass

from gitship.core import Core
from gitship.engine.interface import Engine
from gitship.front.front import Front
from gitship.front.traffic_counters import TrafficCounters
from gitship.front.visitor_log import VisitorLog
from gitship.observe.container_usage import UsageSampler
from gitship.observe.traffic import StoredStats


@dataclass(frozen=True, slots=True)
class ObserveRoom:
    counters: TrafficCounters
    visitors: VisitorLog
    usage: UsageSampler
    traffic: StoredStats

    def start(self) -> None:
        self.usage.start()
        self.traffic.start()

    def stop(self) -> None:
        self.traffic.stop()
        self.usage.stop()


def build(core: Core, engine: Engine, front: Front) -> ObserveRoom:
    counters = TrafficCounters()
    visitors = VisitorLog(front.workdir, counters.take)
    return ObserveRoom(
        counters, visitors, UsageSampler(core.store, engine), StoredStats(core.store, counters, visitors)
    )
