"""Apps and their immutable releases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gitship.model.cron import CronEntry
from gitship.model.names import WILDCARD


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

    ``quantity`` is how many run unless `ps:scale` says otherwise. With ``entrypoint`` commands are words for the
    image's ENTRYPOINT, of one-off containers, too; else they run themselves.
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
    read_only: bool = False  # the root file system of its containers
    capabilities: tuple[str, ...] = ()  # beyond those that every container has; an admin gave them to the app
    entrypoint: bool = False

    @property
    def host_mounts(self) -> tuple[Mount, ...]:
        """Those of its mounts that are directories of the host."""
        return tuple(mount for mount in self.mounts if mount.host)


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

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What the app has been given; one-off commands have it, too."""
        return self.processes[0].capabilities if self.processes else ()

    @property
    def entrypoint(self) -> bool:
        """See ``Process``: the same for all of a release."""
        return any(process.entrypoint for process in self.processes)


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
