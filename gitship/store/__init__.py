"""SQLite store (WAL): the only place that reads or writes state."""

from __future__ import annotations

from gitship.store.audit import Audit
from gitship.store.certificates import Certificates
from gitship.store.container_events import ContainerEvents
from gitship.store.cron_runs import CronRuns
from gitship.store.deploys import DeployRecords
from gitship.store.image_stores import ImageStores
from gitship.store.live_releases import LiveReleases
from gitship.store.registries import RegistryLogins
from gitship.store.releases import ReleaseRecords
from gitship.store.service_exposures import ServiceExposures
from gitship.store.settings import StoredSettings
from gitship.store.shifted_deadlines import Deadlines
from gitship.store.tasks import TaskRecords
from gitship.store.traffic import TrafficHistory
from gitship.store.uptime import Uptimes
from gitship.store.web_access import WebAccess
from gitship.store.webhooks import Webhooks

__all__ = ["Store"]


class Store(
    TaskRecords,
    ServiceExposures,
    ReleaseRecords,
    LiveReleases,
    DeployRecords,
    StoredSettings,
    Audit,
    CronRuns,
    Webhooks,
    RegistryLogins,
    ContainerEvents,
    TrafficHistory,
    Uptimes,
    Certificates,
    WebAccess,
    Deadlines,
    ImageStores,
):
    """All state; safe from any thread."""
