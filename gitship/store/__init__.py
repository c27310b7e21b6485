"""SQLite (WAL): the only place that reads or writes state. Small, typed, migrated by version."""

from __future__ import annotations

from gitship.store.audit import Audit
from gitship.store.certificates import Certificates
from gitship.store.cron import CronRuns
from gitship.store.deadlines import Deadlines
from gitship.store.deploys import Deploys
from gitship.store.happenings import Happenings
from gitship.store.imagestores import ImageStores
from gitship.store.live import Live
from gitship.store.registries import Registries
from gitship.store.releases import Releases
from gitship.store.rights import Rights
from gitship.store.settings import AppSettings
from gitship.store.traffic import TrafficHistory
from gitship.store.uptime import Uptimes
from gitship.store.webaccess import WebAccess
from gitship.store.webhooks import Webhooks

__all__ = ["Store"]


class Store(
    Rights,
    Releases,
    Live,
    Deploys,
    AppSettings,
    Audit,
    CronRuns,
    Webhooks,
    Registries,
    Happenings,
    TrafficHistory,
    Uptimes,
    Certificates,
    WebAccess,
    Deadlines,
    ImageStores,
):
    """All state; safe from any thread."""
