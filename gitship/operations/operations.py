"""Everything that can be done on this server, by noun; `commands`, `web` and `ssh` call these and nothing below."""

from __future__ import annotations

from dataclasses import dataclass

from gitship.backup.create import Backups
from gitship.disk.free_space import FreeSpace
from gitship.https.app_https import ServerHttps
from gitship.logs.stream import LogReader
from gitship.notify.sender import WebhookSender
from gitship.observe.container_usage import UsageSampler
from gitship.observe.status_facts import StatusFacts
from gitship.observe.traffic import StoredStats
from gitship.oneoff.cron import Cron
from gitship.oneoff.programs import Programs
from gitship.operations.apps import Apps
from gitship.operations.backup_schedules import BackupSchedules
from gitship.operations.canaries import Canaries
from gitship.operations.cleanup import Cleanup
from gitship.operations.config import Config
from gitship.operations.deploys import Deploys
from gitship.operations.domains import Domains
from gitship.operations.git import Git
from gitship.operations.logs import Logs
from gitship.operations.ps import Ps
from gitship.operations.registries import Registries
from gitship.operations.releases import Releases
from gitship.operations.service_apps import LinkedApps
from gitship.operations.service_backups import BackupsOfServices
from gitship.operations.service_data import ServiceData
from gitship.operations.service_reach import ServiceReach
from gitship.operations.services import BackingServices
from gitship.operations.serving import Serving
from gitship.operations.shared import Shared
from gitship.operations.sign_ins import Identify, SignIns
from gitship.operations.storage import Storage
from gitship.operations.tuning import Tuning
from gitship.reconcile.destroy_app import AppDestruction
from gitship.reconcile.reconciler import Reconciling
from gitship.routing.access_control import AccessControl
from gitship.routing.active_canaries import ActiveCanaries
from gitship.routing.pause import ServerPauses
from gitship.services.room import ServicesRoom
from gitship.volumes.lifecycle import VolumeLifecycle


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """What the rooms below have that operations need, or that people act on as it is."""

    backups: Backups  # the whole server as one archive
    cron: Cron  # commands that run by the clock
    destroying: AppDestruction
    facts: StatusFacts  # what the status page shows beside the store
    gates: AccessControl  # maintenance, redirects, passwords, networks let in
    https: ServerHttps  # certificates, and who is sent from http to https
    identify: Identify
    volume_lifecycle: VolumeLifecycle
    notifications: WebhookSender  # messages to webhooks
    pauses: ServerPauses  # requests that wait
    programs: Programs  # commands in containers of their own, and in running ones
    reconciling: Reconciling  # what is wanted and what there is, compared and put right
    room: FreeSpace  # on the disk
    sampler: UsageSampler
    services: ServicesRoom
    stats: StoredStats  # what visitors asked for, and how that was answered
    tails: LogReader
    active_canaries: ActiveCanaries


class Operations:
    """Changes return the Deploy that carries them out, or None when nothing has to be deployed.

    Every method takes the app and who acts, and both are checked again as it acts. It is safe from any thread, and
    raises GitshipError (NotFound, Conflict, ...) with a hint.
    """

    def __init__(self, shared: Shared, rooms: Rooms) -> None:
        self.apps = Apps(shared, rooms.destroying)
        self.canaries = Canaries(shared, rooms.active_canaries)
        self.cleanup = Cleanup(shared.settings, shared.store, shared.engine, shared.repositories)
        self.config = Config(shared)
        self.deploys = Deploys(shared)
        self.domains = Domains(shared)
        self.git = Git(shared)
        self.logs = Logs(shared, rooms.tails)
        self.ps = Ps(shared, rooms.sampler)
        self.registries = Registries(shared)
        self.releases = Releases(shared)
        linked = LinkedApps(shared, rooms.pauses)
        self.services = BackingServices(shared, rooms.services, linked)
        self.service_data = ServiceData(shared, rooms.services, self.services, linked)
        self.service_reach = ServiceReach(shared, rooms.services)
        self.service_backups = BackupsOfServices(shared, rooms.services, self.services)
        self.backup_schedules = BackupSchedules(shared, rooms.services, self.service_backups)
        self.serving = Serving(shared, rooms.gates)
        self.sign_ins = SignIns(shared.store, rooms.identify)
        self.storage = Storage(shared, rooms.volume_lifecycle)
        self.tuning = Tuning(shared)

        self.backups = rooms.backups
        self.cron = rooms.cron
        self.facts = rooms.facts
        self.gates = rooms.gates
        self.https = rooms.https
        self.notifications = rooms.notifications
        self.pauses = rooms.pauses
        self.programs = rooms.programs
        self.reconciling = rooms.reconciling
        self.room = rooms.room
        self.stats = rooms.stats
