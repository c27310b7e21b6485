"""What a Compose file makes of an app: the processes of one release, backing services and volumes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from gitship.appfiles.canary_rules import CanaryPlan
from gitship.model import Check


class Condition(StrEnum):
    """When what depends on a service may start."""

    STARTED = "service_started"
    HEALTHY = "service_healthy"
    COMPLETED = "service_completed_successfully"


@dataclass(frozen=True, slots=True)
class Dependency:
    service: str
    condition: Condition = Condition.STARTED


@dataclass(frozen=True, slots=True)
class ComposeFile:
    """A read-only file or directory in a container: ``source`` of the commit's tree, or these bytes.

    ``mode``, ``uid`` and ``gid`` None: as it is in the commit, or 0444 and root's.
    """

    path: str
    source: str | None = None
    content: bytes | None = field(default=None, repr=False)
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    directory: bool = False


@dataclass(frozen=True, slots=True)
class ComposeVolume:
    """A named volume, or a part of it, at ``path`` in a container."""

    source: str
    path: str
    read_only: bool = False
    subpath: str = ""


@dataclass(frozen=True, slots=True)
class TemporaryDirectory:
    """A directory in memory at ``path``; ``options`` as Docker takes them: `size=64m,mode=1777`."""

    path: str
    options: str = ""


@dataclass(frozen=True, slots=True)
class ComposeBuild:
    """How an image is built. ``context`` and ``dockerfile`` are paths in the repository, "" its top.

    ``inline`` takes the Dockerfile's place when it is not "". ``secrets`` by the id that the Dockerfile mounts.
    """

    context: str = ""
    dockerfile: str = "Dockerfile"
    inline: str = ""
    target: str = ""
    args: Mapping[str, str] = field(default_factory=dict)
    network: str = "default"
    secrets: Mapping[str, ComposeFile] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ComposeHealthcheck:
    """``test`` as Docker takes it, () for none at all, None for the image's own, as all else that is None. Seconds."""

    test: tuple[str, ...] | None = None
    interval_s: float | None = None
    timeout_s: float | None = None
    retries: int | None = None
    start_period_s: float | None = None
    start_interval_s: float | None = None

    def check(self) -> Check | None:
        """As a readiness check of a release, with Docker's defaults; None for none."""
        if self.test == ():
            return None
        interval, timeout = self.interval_s or 30.0, self.timeout_s or 30.0
        deadline = (self.start_period_s or 0.0) + (self.retries or 3) * (interval + timeout)
        if self.test is None:
            return Check(kind="image", deadline_s=deadline)
        words = self.test[1:] if self.test[0] == "CMD" else ("/bin/sh", "-c", *self.test[1:])
        return Check(kind="command", command=words, timeout_s=timeout, deadline_s=deadline)


@dataclass(frozen=True, slots=True)
class ResourceLimits:
    """Of each container; None for no limit of its own. ``ulimits`` by name: soft and hard, -1 for no limit."""

    memory_bytes: int | None = None
    cpus: float | None = None
    pids: int | None = None
    shm_bytes: int | None = None
    ulimits: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ComposeContainer:
    """What a service's containers are made of, a process or a database's. ``image`` is "" for one that is built.

    ``command`` and ``entrypoint`` None: the image's; (): none. ``links`` are names under which others are reached by
    it, beside their own. ``ports`` are those it listens on, as far as the file says. ``capabilities`` are wanted
    beyond those that every container has: an admin gives them.
    """

    image: str = ""
    platform: str = ""
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    working_dir: str = ""
    user: str = ""
    hostname: str = ""
    aliases: tuple[str, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    extra_hosts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ports: tuple[int, ...] = ()
    volumes: tuple[ComposeVolume, ...] = ()
    files: tuple[ComposeFile, ...] = ()
    tmpfs: tuple[TemporaryDirectory, ...] = ()
    read_only: bool = False
    healthcheck: ComposeHealthcheck = ComposeHealthcheck()
    limits: ResourceLimits = ResourceLimits()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    capabilities: tuple[str, ...] = ()
    dropped_capabilities: tuple[str, ...] = ()
    stop_signal: str = ""
    stop_timeout_s: float = 10.0
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ComposeProcess:
    """A process type of the release, by the service's name. ``build`` None: its image is fetched.

    ``once``: others wait for it to end with success; it runs before the switch and no longer. ``config``: a file of
    `env_file` is not in the repository, so the app's config is its environment, too.
    """

    name: str
    container: ComposeContainer
    build: ComposeBuild | None = None
    quantity: int = 1
    depends_on: tuple[Dependency, ...] = ()
    once: bool = False
    config: bool = False

    @property
    def stateful(self) -> bool:
        """A program of others that keeps data: one container at a time, so stopped before the next starts.

        What is built from the commit is written for several at once, as with `storage:mount`.
        """
        return self.build is None and any(not volume.read_only for volume in self.container.volumes)


@dataclass(frozen=True, slots=True)
class WrittenLogin:
    """The login that the file itself gives a database, "" for what it does not say."""

    user: str = ""
    password: str = field(default="", repr=False)
    database: str = ""
    root_password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class ComposeBacking:
    """A backing service: an image of an engine that gitship knows. The app connects as ``login`` says.

    ``data`` is the named volume that the file keeps its data in, "" for one that it does not name.
    """

    name: str
    engine: str
    version: str
    container: ComposeContainer
    login: WrittenLogin = WrittenLogin()
    data: str = ""
    depends_on: tuple[Dependency, ...] = ()


@dataclass(frozen=True, slots=True)
class ComposeNote:
    """Something that the file says and gitship does otherwise, as one line of a push."""

    place: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


@dataclass(frozen=True, slots=True)
class ComposeApp:
    """A whole app. ``web`` names the process that visitors reach, by ``port`` (None: as its image says), "" for none.

    ``order`` are all names, each after what it depends on. ``cache`` is stored as that of gitship.toml is.
    """

    file: str
    processes: tuple[ComposeProcess, ...]
    services: tuple[ComposeBacking, ...]
    volumes: tuple[str, ...]
    order: tuple[str, ...]
    web: str = ""
    port: int | None = None
    cache: Mapping[str, Any] = field(default_factory=dict)
    canary: CanaryPlan | None = None
    domains: tuple[str, ...] = ()
    notes: tuple[ComposeNote, ...] = ()

    def process(self, name: str) -> ComposeProcess | None:
        """The process of that name, or None."""
        return next((one for one in self.processes if one.name == name), None)
