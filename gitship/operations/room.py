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
from gitship.observe.status_facts import ServerFacts
from gitship.observe.uptime import Uptime
from gitship.oneoff.room import OneOffRoom
from gitship.operations.jobs import Jobs
from gitship.operations.operations import Operations, Rooms
from gitship.operations.rebuild_after_restore import Revival
from gitship.operations.shared import Shared
from gitship.operations.sign_ins import Identify
from gitship.operations.upkeep import Upkeep
from gitship.reconcile.room import ReconcileRoom
from gitship.routing.room import RoutingRoom
from gitship.services.room import ServicesRoom
from gitship.volumes.lifecycle import VolumeLifecycle


@dataclass(frozen=True, slots=True)
class OperationsRoom:
    """``start`` begins what acts by itself: after the front doors, so that a server that cannot run does nothing."""

    server: Operations
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
    core: Core, engine: Engine, repositories: Repositories, disk: DiskRoom, volume_lifecycle: VolumeLifecycle,
    tails: LogReader,
    routing: RoutingRoom, observe: ObserveRoom, https: ServerHttps, backups: Backups, deploy: DeployRoom,
    one_off: OneOffRoom, notifier: WebhookSender, services: ServicesRoom, reconcile: ReconcileRoom,
    identify: Identify,
) -> OperationsRoom:  # fmt: skip
    settings, store = core.settings, core.store
    jobs = Jobs(settings, store, core.bus, deploy.queue)
    shared = Shared(settings, store, core.bus, engine, routing.front, repositories, jobs)
    rooms = Rooms(
        backups=backups,
        cron=one_off.cron,
        destroying=reconcile.destroying,
        facts=ServerFacts(engine, routing.front, repositories, core.server_id),
        gates=routing.gates,
        https=https,
        identify=identify,
        volume_lifecycle=volume_lifecycle,
        notifications=notifier,
        pauses=routing.pausing,
        programs=one_off.one_offs,
        reconciling=reconcile.reconciler,
        room=disk.data,
        sampler=observe.usage,
        services=services,
        stats=observe.traffic,
        tails=tails,
        active_canaries=routing.canaries,
    )
    operations = Operations(shared, rooms)
    deploy.probation.rolls_back_by(operations.releases.withdraw)
    return OperationsRoom(
        operations,
        Uptime(store, operations.facts, routing.pausing, observe.traffic),
        Revival(shared, volume_lifecycle, operations, services),
        Upkeep(settings, store, engine, disk.data, disk.docker, operations.cleanup),
    )
