"""Backing services: databases and the like, their links to apps, and what is done to them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from gitship.model.backups import BackupSubject, SubjectKind

SERVICE_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
ALIAS = re.compile(r"[A-Z][A-Z0-9_]{0,39}")
LINK_PARTS = ("URL", "HOST", "PORT", "USER", "PASSWORD", "NAME")  # of the variables that a link gives: ALIAS_URL, ...


KEPT_S = 7 * 86_400.0  # of data that an upgrade, a load or a restore has replaced


class ServiceState(StrEnum):
    """``destroying``: its data are being removed for good."""

    CREATING = "creating"
    READY = "ready"
    DESTROYING = "destroying"


class LinkState(StrEnum):
    """``adding``: its login is not there yet; ``ending``: a deploy takes it from the app, then its login goes."""

    ADDING = "adding"
    ACTIVE = "active"
    ENDING = "ending"


class VolumeUse(StrEnum):
    """``filling``: data come into it; ``live``: the service's own; ``kept``: of before an upgrade, load or restore."""

    FILLING = "filling"
    LIVE = "live"
    KEPT = "kept"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class Service:
    """A server of an engine with its data. ``image`` is the reference it came by, ``image_id`` what runs.

    ``container`` is Docker's id, "" while there is none; ``volume`` what Docker calls the volume; ``network`` its
    subnet (CIDR). ``database`` is what is inside; ``root_password`` is that of its superuser, or ``next_root_password``
    while that is being changed ("": it is not). ``made_for`` is the id of the app whose file asked for it, by the name
    ``entry``.
    """

    id: int
    name: str
    engine: str
    version: str
    image: str
    image_id: str
    state: ServiceState
    memory_bytes: int
    database: str
    root_password: str = field(repr=False)
    volume: str = ""
    container: str = ""
    network: str | None = None
    made_by: int | None = None
    created_at: float = 0.0
    made_for: int | None = None
    entry: str = ""
    next_root_password: str = field(default="", repr=False)

    @property
    def label(self) -> str:
        """As people name it: ``db (postgres 17)``."""
        return f"{self.name} ({self.engine} {self.version})"

    @property
    def subject(self) -> BackupSubject:
        return BackupSubject(SubjectKind.SERVICE, self.id, name=self.name)


@dataclass(frozen=True, slots=True)
class ServiceLogin:
    """One of a link's logins in the service, two while it is rotated.

    Without a link it is somebody's own until ``expires_at`` (epoch seconds); then, or without, it is to be dropped.
    """

    id: int
    service_id: int
    link_id: int | None
    name: str
    password: str = field(repr=False)
    created_at: float = 0.0
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class ServiceLink:
    """An app's way to a service. ``url`` is a template with the names of ``ServiceEngine.url``.

    ``host`` is the service's name in the app's network; ``declared`` its name in the app's own file, "" for none.

    ``login`` is the id of the one that new containers get; ``deploy`` that of the deploy which takes the link away.
    """

    id: int
    service_id: int
    app_id: int
    alias: str
    url: str
    port: int
    read_only: bool
    state: LinkState
    login: int | None
    deploy: int | None
    created_at: float
    host: str
    declared: str

    @property
    def variables(self) -> tuple[str, ...]:
        return tuple(f"{self.alias}_{part}" for part in LINK_PARTS)


@dataclass(frozen=True, slots=True)
class Exposure:
    """A port of this machine that leads to a service. ``tls`` is how TLS begins; ``pem`` its certificate and key."""

    service_id: int
    port: int
    networks: tuple[str, ...]
    tls: str
    pem: str = field(repr=False)

    @property
    def certificate(self) -> str:
        """Without the key."""
        end = "-----END CERTIFICATE-----\n"
        return self.pem[: self.pem.index(end) + len(end)]


@dataclass(frozen=True, slots=True)
class ReleaseLink:
    """A link that a release was started with: names, no address and no password."""

    alias: str
    service: str
    read_only: bool

    @property
    def label(self) -> str:
        """As people name it: ``db (DATABASE, read-only)``."""
        return f"{self.service} ({self.alias}{', read-only' if self.read_only else ''})"


@dataclass(frozen=True, slots=True)
class ServiceVolume:
    """A volume that was made for a service. ``at`` and ``until`` are epoch seconds; ``until`` None: for ever.

    ``root_password`` is the superuser's in the data that are kept; "" when it is the service's own.
    """

    name: str
    service_id: int
    use: VolumeUse
    version: str
    image: str
    image_id: str
    at: float
    until: float | None
    root_password: str = field(default="", repr=False)


class TaskState(StrEnum):
    """How a task stands."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ServiceTask:
    """Something that is done to a service, or a backup; one at a time each. Times are epoch seconds.

    ``apps`` are the ids of those that its lines may tell of. ``subject`` has the name of then.
    """

    id: int
    subject: BackupSubject
    kind: str
    by: str
    state: TaskState
    started_at: float
    finished_at: float | None = None
    reason: str = ""
    hint: str = ""
    apps: frozenset[int] = frozenset()


def variables(link: ServiceLink, login: ServiceLogin, service: Service) -> Mapping[str, str]:
    """What the containers of the app get by the link: ALIAS_URL and its parts, as far as the engine has them."""
    values = {
        "login": login.name, "password": login.password, "root_password": service.root_password,
        "host": link.host, "port": str(link.port), "database": service.database,
    }  # fmt: skip
    url = re.sub(r"\{(\w+)\}", lambda match: values[match[1]], link.url)
    user = login.name if "{login}" in link.url else ""
    password = next((values[name] for name in ("password", "root_password") if f"{{{name}}}" in link.url), "")
    database = service.database if "{database}" in link.url else ""
    parts = (url, link.host, str(link.port), user, password, database)
    return {f"{link.alias}_{part}": text for part, text in zip(LINK_PARTS, parts, strict=True) if text}
