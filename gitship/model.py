"""The nouns of gitship as frozen dataclasses. No I/O here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from gitship.errors import GitshipError

APP_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?")
DOMAIN_NAME = re.compile(
    r"(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*"
)
WILDCARD = "*."
PROCESS_TYPE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")  # as in Procfiles: `celery_beat`
CRON_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?")
CONFIG_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
WEB = "web"
DEFAULT_PORT = 5000
CRON_TIMEOUT_S = 86_400.0


class Role(StrEnum):
    """What a key may do: everything, deploy and run apps, or only look."""

    ADMIN = "admin"
    DEPLOYER = "deployer"
    VIEWER = "viewer"

    def allows(self, needed: Role) -> bool:
        """True when this role includes ``needed``."""
        order = (Role.VIEWER, Role.DEPLOYER, Role.ADMIN)
        return order.index(self) >= order.index(needed)


class DeployKind(StrEnum):
    """What asked for the deploy."""

    PUSH = "push"
    CONFIG = "config"
    ROLLBACK = "rollback"
    SCALE = "scale"
    RESTART = "restart"
    STOP = "stop"
    START = "start"
    RENAME = "rename"
    PROMOTE = "promote"  # another app's image
    IMAGE = "image"  # one from the engine or a registry


class DeployState(StrEnum):
    """Where a deploy stands; the names before ``live`` are the pipeline's stages in order."""

    RECEIVED = "received"
    QUEUED = "queued"
    BUILDING = "building"
    RELEASING = "release command"
    STARTING = "starting"
    CHECKING = "checking"
    CANARY = "canary"
    SWITCHING = "switching"
    DRAINING = "draining"
    LIVE = "live"
    FAILED = "failed"
    CANCELED = "canceled"
    SUPERSEDED = "superseded"

    @property
    def ended(self) -> bool:
        """True for the states that a deploy never leaves."""
        return self in (DeployState.LIVE, DeployState.FAILED, DeployState.CANCELED, DeployState.SUPERSEDED)

    @property
    def switched(self) -> bool:
        """True once visitors see the new release."""
        return self in (DeployState.DRAINING, DeployState.LIVE)


@dataclass(frozen=True, slots=True)
class Check:
    """One readiness check of a process; times in seconds.

    ``kind`` is ``http`` (GET ``path`` below 400, or below 500 when ``lenient``), ``listening`` (TCP accept),
    ``uptime`` (stays up for ``uptime_s``), ``command`` (exits 0 inside) or ``image`` (the image's HEALTHCHECK).
    """

    kind: str = "http"
    name: str = ""
    path: str = "/"
    port: int | None = None
    scheme: str = "http"
    headers: Mapping[str, str] = field(default_factory=dict)
    content: str | None = None
    lenient: bool = False
    command: tuple[str, ...] = ()
    uptime_s: float = 0.0
    initial_delay_s: float = 0.0
    timeout_s: float = 5.0
    deadline_s: float | None = None


@dataclass(frozen=True, slots=True)
class Mount:
    """What a container finds at ``path``: the app's volume ``source``, or the host's directory of that absolute path.

    ``volume`` is what Docker calls the volume. It makes no difference between releases: a restored backup lies in
    another one, and every release made after that finds it there.
    """

    source: str
    path: str
    read_only: bool = False
    volume: str = field(default="", compare=False)

    @property
    def host(self) -> bool:
        return self.source.startswith("/")


@dataclass(frozen=True, slots=True)
class Process:
    """A process type of a release. ``command`` None means the image's own CMD; ``port`` None means no traffic.

    ``quantity`` is how many run unless `ps:scale` says otherwise.
    """

    type: str
    command: tuple[str, ...] | None = None
    port: int | None = None
    checks: tuple[Check, ...] = ()
    stop_timeout_s: float = 30.0
    memory_bytes: int | None = None
    cpus: float | None = None
    pids: int | None = None
    quantity: int = 1
    mounts: tuple[Mount, ...] = ()


class CertificateSource(StrEnum):
    """Where a certificate comes from; for a host that several cover, the first one counts."""

    OWN = "own"
    ACME = "acme"
    SELF_SIGNED = "self-signed"

    @property
    def trusted(self) -> bool:
        """True when visitors' browsers are expected to trust it."""
        return self is not CertificateSource.SELF_SIGNED


@dataclass(frozen=True, slots=True)
class StoredCertificate:
    """An app's certificate with chain and key. Times are epoch seconds.

    ``suggested_at``: when the authority itself would like it to be renewed. ``warned``: its end was announced.
    """

    id: int
    app_id: int
    source: CertificateSource
    domains: tuple[str, ...]
    issuer: str
    not_before: float
    not_after: float
    pem: str = field(repr=False)
    suggested_at: float | None = None
    warned: bool = False


@dataclass(frozen=True, slots=True)
class CertificateAttempt:
    """Attempts to get an app's certificate since the last that succeeded; none is made by itself before ``next_at``,
    unless other ``names`` are wanted by then.
    """

    failures: int
    next_at: float
    names: tuple[str, ...] = ()
    reason: str = ""
    hint: str = ""


class Overlap(StrEnum):
    """What becomes of a cron run that is due while an earlier one of the same entry still runs."""

    SKIP = "skip"
    QUEUE = "queue"  # one waits for its end, further ones are skipped
    REPLACE = "replace"  # the earlier one is ended
    ALLOW = "allow"


@dataclass(frozen=True, slots=True)
class CronEntry:
    """A command that runs by the clock. ``timezone`` "" is the server's; ``suspended``: only when somebody asks for it.

    ``source`` is app.json, gitship.toml or command.
    """

    name: str
    schedule: str
    command: tuple[str, ...]
    source: str
    timezone: str = ""
    overlap: Overlap = Overlap.SKIP
    timeout_s: float = CRON_TIMEOUT_S
    suspended: bool = False


class CronOutcome(StrEnum):
    """Where a cron run stands."""

    QUEUED = "queued"
    RUNNING = "running"
    OK = "ok"
    FAILED = "failed"
    TIMED_OUT = "timed out"
    REPLACED = "replaced"
    SKIPPED = "skipped"

    @property
    def ended(self) -> bool:
        return self not in (CronOutcome.QUEUED, CronOutcome.RUNNING)


@dataclass(frozen=True, slots=True)
class CronRun:
    """A run of a cron entry; ``number`` counts from 1 within the app. Times are epoch seconds.

    ``due_at`` is the minute that it was for, None when somebody asked for it (``by`` is that key's name, else "").
    ``container`` is "" until there is one; ``exit_code`` None when there was none, or when it is not known.
    """

    id: int
    app_id: int
    number: int
    entry: str
    outcome: CronOutcome
    due_at: float | None
    started_at: float
    ended_at: float | None = None
    exit_code: int | None = None
    container: str = ""
    by: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class App:
    """An application. ``live_release`` is the id of the release that visitors see; ``network`` its subnet (CIDR)."""

    id: int
    name: str
    created_at: float
    deploy_branch: str | None = None
    live_release: int | None = None
    network: str | None = None

    @property
    def slug(self) -> str:
        """The name in the letters that VCL names may have; app names have no underscore, so it is unique."""
        return self.name.replace(".", "_")


@dataclass(frozen=True, slots=True)
class Release:
    """Immutable: commit + image id + config + processes + cron entries. ``number`` counts from 1 within the app.

    ``cache`` is what its gitship.toml says of the cache, by the names of the rules.
    """

    id: int
    app_id: int
    number: int
    commit: str | None
    image_id: str
    image_bytes: int
    config: Mapping[str, str]
    processes: tuple[Process, ...]
    cause: str
    created_by: str
    created_at: float
    cron: tuple[CronEntry, ...] = ()
    cache: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """How people call it: ``v12``."""
        return f"v{self.number}"

    def process(self, type_: str) -> Process | None:
        """The process of that type, or None."""
        return next((p for p in self.processes if p.type == type_), None)

    @property
    def mounts(self) -> tuple[Mount, ...]:
        """Those of any process: what a one-off command finds."""
        return tuple({m.path: m for p in self.processes for m in p.mounts}.values())


@dataclass(frozen=True, slots=True)
class Container:
    """A container of an app's live release, as the store wants it."""

    id: str
    name: str
    app_id: int
    release_id: int
    process: str
    index: int
    address: str
    port: int | None


class Happening(StrEnum):
    """What can happen to a live container that nobody has asked for."""

    CRASHED = "crashed"
    OOM = "oom"
    RESTARTED = "restarted"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True)
class ContainerEvent:
    """Something that happened to a live container. ``release`` is its number, ``detail`` the cause in words.

    ``exit_code`` None: it did not end, or nobody saw with what. ``deaths`` counts how often it has ended so far.
    """

    app_id: int
    container_id: str
    container: str
    process: str
    release: int
    at: float
    kind: Happening
    exit_code: int | None = None
    detail: str = ""
    deaths: int = 0

    @property
    def text(self) -> str:
        """``crashed: exit code 3, restarting (2nd time)``."""
        return f"{_HAPPENED[self.kind]}: {self.detail}" + (
            f", restarting ({ordinal(self.deaths)} time)" if self.exit_code is not None else ""
        )


_HAPPENED = {
    Happening.CRASHED: "crashed",
    Happening.OOM: "killed",
    Happening.RESTARTED: "restarted",
    Happening.UNHEALTHY: "unhealthy",
}


def ordinal(number: int) -> str:
    """``1st``, ``2nd``, ``3rd``, ``11th``."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


@dataclass(frozen=True, slots=True)
class StageTime:
    """When a stage of a deploy began (epoch seconds) and how long it took (seconds)."""

    stage: DeployState
    started_at: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Deploy:
    """The record of one deploy. ``ref``, ``old``, ``commit`` belong to a push; ``release_id`` comes with the build."""

    id: int
    app_id: int
    kind: DeployKind
    state: DeployState
    created_by: str
    created_at: float
    cause: str = ""
    commit: str | None = None
    ref: str | None = None
    old: str | None = None
    release_id: int | None = None
    failed_stage: DeployState | None = None
    reason: str = ""
    hint: str = ""
    started_at: float | None = None
    finished_at: float | None = None
    stages: tuple[StageTime, ...] = ()


@dataclass(frozen=True, slots=True)
class Key:
    """An SSH public key that may log in. ``public_key`` is ``type base64``; ``fingerprint`` is ``SHA256:...``.

    ``apps`` are the ids of the apps that it is limited to; None means all apps.
    """

    id: int
    name: str
    fingerprint: str
    public_key: str
    role: Role
    created_at: float
    apps: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class Domain:
    """A host name that leads to an app; ``*.example.com`` is every name with one more label (RFC 6125, 6.4.3)."""

    app_id: int
    name: str

    @property
    def wildcard(self) -> bool:
        return self.name.startswith(WILDCARD)

    def covers(self, host: str) -> bool:
        """True when that host leads to the app by this domain."""
        if not self.wildcard:
            return host == self.name
        label, _, parent = host.partition(".")
        return bool(label) and parent == self.name.removeprefix(WILDCARD)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is at the other end of a session. ``apps`` are the ids of the apps it is limited to; None means all."""

    key_name: str
    role: Role
    fingerprint: str = ""
    address: str = ""
    apps: frozenset[int] | None = None

    @property
    def limited(self) -> bool:
        """True when there may be apps that it must not learn of."""
        return self.apps is not None

    def sees(self, app_id: int) -> bool:
        """True when its role counts for that app."""
        return self.apps is None or app_id in self.apps


class WebAccessKind(StrEnum):
    """What opens the status page or its API."""

    LINK = "link"  # once, within minutes
    SESSION = "session"  # a browser's cookie
    TOKEN = "token"  # a program's  # noqa: S105


@dataclass(frozen=True, slots=True)
class WebToken:
    """A program's way into the status page's API, as the key with this fingerprint. The token itself is not kept."""

    name: str
    fingerprint: str
    created_at: float


class Outcome(StrEnum):
    """What came of what somebody asked for."""

    STARTED = "started"  # its end was not seen: it runs, its client left it to itself, or the server was killed
    OK = "ok"
    FAILED = "failed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who asked for what, and from where. ``app`` is the name as typed; several have ``, `` between them."""

    id: int
    at: float
    key_name: str
    fingerprint: str
    address: str
    action: str
    app: str
    outcome: Outcome
    detail: str


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
    CRON_FAILED = "cron.failed"
    CERTIFICATE_EXPIRING = "certificate.expiring"
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


def app_name(text: str) -> str:
    """``text`` when it is a valid app name.

    Raises GitshipError naming the rule and, where one can be made, a valid name near it.
    """
    if APP_NAME.fullmatch(text):
        return text
    near = re.sub(r"[^a-z0-9.-]+", "-", text.lower()).strip("-.")[:63].strip("-.")
    hint = "use lower-case letters, digits, '-' and '.', at most 63, beginning and ending with a letter or digit"
    if near and APP_NAME.fullmatch(near):
        hint += f"; for instance '{near}'"
    raise GitshipError(f"'{text[:80]}' is not an app name", hint)
