"""What keeps containers, routes and volumes as the store says."""

from __future__ import annotations

from dataclasses import dataclass

from gitship.containers.room import ContainersRoom
from gitship.core import Core
from gitship.deploy.queue import DeployQueue
from gitship.deploy.rename import AppRename
from gitship.engine.room import EngineRoom
from gitship.git.repository import Repositories
from gitship.oneoff.oneoffs import OneOffs
from gitship.per_app_errors import PerAppErrors
from gitship.reconcile.clock_watch import ClockWatch
from gitship.reconcile.container_watcher import ContainerWatcher
from gitship.reconcile.destroy_app import AppDestruction
from gitship.reconcile.interrupted_deploys import InterruptedDeploys
from gitship.reconcile.lost_addresses import LostAddresses
from gitship.reconcile.outages import Outages
from gitship.reconcile.problems import Problems
from gitship.reconcile.reconciler import Reconciler
from gitship.reconcile.repair_containers import ContainerRepair
from gitship.reconcile.repair_routes import RouteRepair
from gitship.routing.room import RoutingRoom
from gitship.services.room import ServicesRoom
from gitship.volumes.lifecycle import VolumeLifecycle


@dataclass(frozen=True, slots=True)
class ReconcileRoom:
    clock: ClockWatch
    destroying: AppDestruction
    reconciler: Reconciler
    watcher: ContainerWatcher

    def start(self) -> None:
        self.clock.start()
        self.reconciler.start()
        self.watcher.start()

    def stop(self) -> None:
        self.watcher.stop()
        self.reconciler.stop()
        self.clock.stop()


def build(
    core: Core, engine: EngineRoom, repositories: Repositories, volume_lifecycle: VolumeLifecycle,
    containers: ContainersRoom,
    routing: RoutingRoom, outages: Outages, queue: DeployQueue, one_offs: OneOffs,
    services: ServicesRoom,
) -> ReconcileRoom:  # fmt: skip
    settings, store, bus, apart = core.settings, core.store, core.bus, core.apart
    docker, addresses, front, claims = engine.docker, engine.addresses, routing.front, containers.claims
    routes_apart = PerAppErrors()
    watcher = ContainerWatcher(store, bus, docker, outages)
    destroying = AppDestruction(
        settings, store, bus, docker, front, repositories, addresses, queue, volume_lifecycle, claims,
        services.links, apart,
    )  # fmt: skip
    repair = ContainerRepair(
        settings, store, docker, front, containers.starter, routing.drainer, queue, watcher, claims,
        containers.restarts, apart,
    )  # fmt: skip
    reconciler = Reconciler(
        store,
        docker,
        front,
        addresses,
        InterruptedDeploys(store, repositories),
        AppRename(settings, store, front, repositories),
        destroying,
        repair,
        one_offs,
        volume_lifecycle,
        services.repair,
        outages,
        RouteRepair(settings, store, front, routing.desired, routing.gates, queue, claims, routes_apart),
        LostAddresses(store, docker, claims, queue, apart),
        apart,
        Problems(store, (apart, routes_apart)),
    )
    watcher.on_change(reconciler.wake)
    return ReconcileRoom(ClockWatch(store), destroying, reconciler, watcher)
