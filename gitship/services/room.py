"""Backing services, what is done to them, and the watch over them; backups, also of volumes and the server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gitship.backup.create import Backups
from gitship.core import Core
from gitship.engine.addresses import Addresses
from gitship.engine.interface import Engine
from gitship.model.backups import SubjectKind
from gitship.services.backup_objects import BackupObjects
from gitship.services.backup_scheduler import BackupScheduler
from gitship.services.backups import BackupRuns, BackupSource
from gitship.services.declared import DeclaredServices
from gitship.services.engine_catalog import EngineCatalog
from gitship.services.exposed_ports import ExposedPorts
from gitship.services.fetch_image import ServiceImages
from gitship.services.lifecycle import ServiceLifecycle
from gitship.services.links import ServiceLinks
from gitship.services.new_service import NewServices
from gitship.services.server_archives import ServerArchives
from gitship.services.server_dumps import ServerDumps
from gitship.services.service_bases import ServiceBases
from gitship.services.service_container import ServiceContainers
from gitship.services.service_dumps import ServiceDumps
from gitship.services.service_volumes import ServiceVolumes
from gitship.services.settle import ServiceRepair
from gitship.services.superuser import SuperuserPasswords
from gitship.services.tasks import ServiceTasks
from gitship.services.volume_backups import VolumeBackups
from gitship.services.wal_archiver import WalArchiver
from gitship.services.wal_shipping import WalShipping
from gitship.store import Store
from gitship.volumes.lifecycle import VolumeLifecycle

TASKS = "service-tasks"  # below the data directory


@dataclass(frozen=True, slots=True)
class ServicesRoom:
    store: Store
    catalog: Callable[[], EngineCatalog]
    tasks: ServiceTasks
    images: ServiceImages
    containers: ServiceContainers
    volumes: ServiceVolumes
    links: ServiceLinks
    superusers: SuperuserPasswords
    lifecycle: ServiceLifecycle
    repair: ServiceRepair
    new: NewServices
    declared: DeclaredServices
    backups: BackupRuns
    service_dumps: ServiceDumps
    volume_backups: VolumeBackups
    scheduler: BackupScheduler
    archiver: WalArchiver
    ports: ExposedPorts
    dumps: ServerDumps

    def start(self) -> None:
        self.tasks.settle_interrupted()
        self.scheduler.prune()
        self.store.settle_backups()
        self.ports.start()

    def stop(self) -> None:
        self.tasks.stop()
        self.ports.stop()


def build(
    core: Core, docker: Engine, addresses: Addresses, volumes_of_apps: VolumeLifecycle, server: Backups
) -> ServicesRoom:
    store = core.store
    directory: Path = core.settings.engines_dir

    def catalog() -> EngineCatalog:
        """Read each time: an admin's files change as they like."""
        return EngineCatalog.load(directory)

    tasks = ServiceTasks(store, core.settings.data_dir / TASKS)
    images = ServiceImages(store, docker, core.settings)
    containers = ServiceContainers(store, docker, addresses, catalog, core.server_id)
    volumes = ServiceVolumes(store, docker, core.server_id)
    links = ServiceLinks(store, containers)
    superusers = SuperuserPasswords(store, containers)
    lifecycle = ServiceLifecycle(store, docker, addresses, images, containers, volumes, links, superusers)
    ports = ExposedPorts(store, containers)
    repair = ServiceRepair(store, docker, tasks, lifecycle, containers, links, superusers, ports, core.apart)
    new = NewServices(store, tasks, catalog)
    declared = DeclaredServices(store, tasks, new, lifecycle, links)
    objects = BackupObjects(store, core.settings)
    service_dumps = ServiceDumps(store, images, containers, volumes, lifecycle)
    volume_backups = VolumeBackups(store, docker, volumes_of_apps, core.settings.docker.min_free)
    sources: dict[SubjectKind, BackupSource] = {
        SubjectKind.SERVICE: service_dumps,
        SubjectKind.VOLUME: volume_backups,
        SubjectKind.SERVER: ServerArchives(server, catalog, core.settings.data_dir),
    }
    wal = WalShipping(store, objects, containers)
    bases = ServiceBases(store, containers, lifecycle, service_dumps, wal)
    backups = BackupRuns(store, objects, sources, bases)
    archiver = WalArchiver(store, wal)
    scheduler = BackupScheduler(store, tasks, backups, core.settings.cron.timezone)
    lifecycle.removed = ports.sync
    dumps = ServerDumps(store, docker, tasks, images, containers, lifecycle, core.settings.data_dir)
    server.service_pieces = dumps.pieces
    return ServicesRoom(
        store,
        catalog,
        tasks,
        images,
        containers,
        volumes,
        links,
        superusers,
        lifecycle,
        repair,
        new,
        declared,
        backups,
        service_dumps,
        volume_backups,
        scheduler,
        archiver,
        ports,
        dumps,
    )
