"""Everything that can be done to apps, and what gitship does to them by itself now and then."""

from __future__ import annotations

from dataclasses import dataclass

from gitship.backup.create import Backups
from gitship.core import Core
from gitship.deploy.room import DeployRoom
from gitship.disk.room import DiskRoom
from gitship.engine.interface import Engine
from gitship.git.repository import Repositories
from gitship.https.app_https import ServerHttps
from gitship.logs.stream import LogReader
from gitship.notify.sender import WebhookSender
from gitship.observe.room import ObserveRoom
from gitship.observe.uptime import Uptime
from gitship.oneoff.room import OneOffRoom
from gitship.operations.canaries import RunningCanaries
from gitship.operations.processes import Looking
from gitship.operations.rebuild_after_restore import Revival
from gitship.operations.server import ServerOperations
from gitship.operations.serving import Serving
from gitship.operations.sign_ins import Identify, SignIns
from gitship.operations.upkeep import Upkeep
from gitship.reconcile.room import ReconcileRoom
from gitship.routing.room import RoutingRoom
from gitship.volumes.lifecycle import VolumeLifecycle


@dataclass(frozen=True, slots=True)
class OperationsRoom:
    """``start`` begins what acts by itself: after the front doors, so that a server that cannot run does nothing."""

    server: ServerOperations
    uptime: Uptime
    revival: Revival
    upkeep: Upkeep

    def start(self) -> None:
        self.uptime.start()
        self.revival.start()
        self.upkeep.start()

    def stop(self) -> None:
        self.upkeep.stop()
        self.revival.stop()
        self.uptime.stop()


def build(
    core: Core, engine: Engine, repositories: Repositories, disk: DiskRoom, keeper: VolumeLifecycle, tails: LogReader,
    routing: RoutingRoom, observe: ObserveRoom, https: ServerHttps, backups: Backups, deploy: DeployRoom,
    one_off: OneOffRoom, notifier: WebhookSender, reconcile: ReconcileRoom, identify: Identify,
) -> OperationsRoom:  # fmt: skip
    settings, store, queue, gates = core.settings, core.store, deploy.queue, routing.gates
    operations = ServerOperations(
        settings, store, core.bus, engine, routing.front, repositories, queue, reconcile.destroying, one_off.one_offs,
        gates, one_off.cron, notifier, keeper, Looking(store, engine, observe.usage, tails),
        Serving(store, gates.keep, routing.front.purge), observe.traffic,
        RunningCanaries(store, routing.canaries, queue), routing.pausing, https, SignIns(store, identify),
        reconcile.reconciler, backups, disk.data,
    )  # fmt: skip
    deploy.probation.rolls_back_by(operations.roll_back)
    return OperationsRoom(
        operations,
        Uptime(store, operations.facts, routing.pausing, observe.traffic),
        Revival(store, engine, keeper, operations.lifecycle, operations.sources),
        Upkeep(settings, store, engine, disk.data, disk.docker, operations.cleanup),
    )
