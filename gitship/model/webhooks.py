"""Webhooks, their events and deliveries."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Topic(StrEnum):
    """What webhooks are told of. Those of containers, cron and certificates come over the bus, by these names."""

    DEPLOY_STARTED = "deploy.started"
    DEPLOY_LIVE = "deploy.live"
    DEPLOY_FAILED = "deploy.failed"
    DEPLOY_CANCELED = "deploy.canceled"
    APP_CREATED = "app.created"
    APP_DESTROYED = "app.destroyed"
    CONTAINER_CRASHED = "container.crashed"
    CONTAINER_OOM = "container.oom"
    CRASH_LOOP = "container.crash_loop"
    RELEASE_BAD = "release.bad"
    CRON_FAILED = "cron.failed"
    CERTIFICATE_EXPIRING = "certificate.expiring"
    CERTIFICATE_DELAYED = "certificate.delayed"
    BACKUP_FAILED = "backup.failed"
    BACKUP_OVERDUE = "backup.overdue"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address that is told of ``events``, all of them when there are none. ``apps`` are the ids of those it hears
    of; None means all.

    ``anywhere``: it may lead into the server's own and private networks. ``secret`` signs what is sent.
    """

    id: int
    name: str
    url: str
    format: str
    events: tuple[str, ...]
    secret: str
    apps: frozenset[int] | None
    anywhere: bool
    created_by: str
    created_at: float

    def wants(self, event: str, app_id: int | None) -> bool:
        """True when it is to be told."""
        return (not self.events or event in self.events) and (self.apps is None or app_id in self.apps)


class DeliveryStatus(StrEnum):
    """Where a message to a webhook stands."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"
    DROPPED = "dropped"

    @property
    def ended(self) -> bool:
        return self in (DeliveryStatus.DELIVERED, DeliveryStatus.FAILED, DeliveryStatus.DROPPED)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message to a webhook: what happened (``event`` to ``uuid``), its ``body`` once made, and what came of it.

    ``state`` is the deploy's as the event happened; ``answer`` what the other end said, or why it could not be reached.
    """

    id: int
    webhook_id: int
    uuid: str
    event: str
    at: float
    app: str
    deploy_id: int | None
    state: str
    text: str
    body: str
    status: DeliveryStatus
    tries: int
    next_at: float
    answer: str
