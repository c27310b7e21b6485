"""Data model as frozen dataclasses. No I/O here."""

from __future__ import annotations

from gitship.model.access import GITSHIP, AuditEntry, Identity, Key, Outcome, Role, WebAccessKind, WebToken
from gitship.model.certificates import (
    AUTHORITY,
    BUDGET,
    STATUS_PAGE,
    CertificateAttempt,
    CertificateSource,
    Site,
    StatusPage,
    StoredCertificate,
)
from gitship.model.containers import Container, ContainerEvent, ContainerEventKind, ordinal
from gitship.model.cron import CRON_TIMEOUT_S, CronEntry, CronOutcome, CronRun, Overlap
from gitship.model.deploys import Deploy, DeployKind, DeployState, StageTime
from gitship.model.names import (
    APP_NAME,
    CONFIG_NAME,
    CRON_NAME,
    DEFAULT_PORT,
    DOMAIN_NAME,
    PROCESS_TYPE,
    WEB,
    WILDCARD,
    app_name,
)
from gitship.model.releases import App, Check, Domain, Mount, Process, Release
from gitship.model.uptime import UptimeDay
from gitship.model.webhooks import Delivery, DeliveryStatus, Topic, Webhook

__all__ = [
    "APP_NAME",
    "AUTHORITY",
    "BUDGET",
    "CONFIG_NAME",
    "CRON_NAME",
    "CRON_TIMEOUT_S",
    "DEFAULT_PORT",
    "DOMAIN_NAME",
    "GITSHIP",
    "PROCESS_TYPE",
    "STATUS_PAGE",
    "WEB",
    "WILDCARD",
    "App",
    "AuditEntry",
    "CertificateAttempt",
    "CertificateSource",
    "Check",
    "Container",
    "ContainerEvent",
    "ContainerEventKind",
    "CronEntry",
    "CronOutcome",
    "CronRun",
    "Delivery",
    "DeliveryStatus",
    "Deploy",
    "DeployKind",
    "DeployState",
    "Domain",
    "Identity",
    "Key",
    "Mount",
    "Outcome",
    "Overlap",
    "Process",
    "Release",
    "Role",
    "Site",
    "StageTime",
    "StatusPage",
    "StoredCertificate",
    "Topic",
    "UptimeDay",
    "WebAccessKind",
    "WebToken",
    "Webhook",
    "app_name",
    "ordinal",
]
