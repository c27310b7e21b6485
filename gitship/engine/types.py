"""Data types of the engine interface: labels, build options, images, containers, log lines, events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gitship.model import Mount

CACHE_NAMESPACE = "BUILDKIT_CACHE_MOUNT_NS"  # a build argument that BuildKit's Dockerfile frontend heeds
PROXIES = frozenset({"http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"})  # in any case of letters
NOWHERE = "192.0.2.1"  # an address of documentation (RFC 5737), which leads to nobody
LABEL_SERVER = "gitship.server"  # which gitship installation owns it
LABEL_APP = "gitship.app"  # its name when this was made
LABEL_APP_ID = "gitship.app-id"  # stays the same when the app is renamed, and is never used again
LABEL_RELEASE = "gitship.release"  # the release's number
LABEL_PROCESS = "gitship.process"
LABEL_DEPLOY = "gitship.deploy"  # the deploy's id
LABEL_ONE_OFF = "gitship.one-off"  # attached or detached: a command that somebody runs, which no deploy owns
LABEL_VOLUME = "gitship.volume"  # what its app calls a volume
LABEL_SERVICE = "gitship.service"  # the name that a backing service had when this was made
LABEL_SERVICE_ID = "gitship.service-id"  # never used again
LABEL_RESERVE = "gitship.reserve"  # for people: an image that only takes room, see ``reserve_image``
LABEL_HELPER = "gitship.helper"  # a container that never runs, through which a volume is read or written
GOING = frozenset({"removing", "dead"})  # statuses of a container whose log Docker does not give any more


@dataclass(frozen=True, slots=True)
class BuildStep:
    """A step of a build as it becomes known: started (``seconds`` None), ended, or failed (``error`` set)."""

    number: int
    name: str
    seconds: float | None = None
    cached: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True)
class BuildOutput:
    """One whole line that a step printed."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """``tag`` and ``labels`` for the image; ``dockerfile`` is a path in the context; ``timeout_s`` bounds the build.

    ``memory_bytes`` and ``cpus`` are for the classic builder: BuildKit knows no limits of one build.
    ``session``: the Dockerfile mounts secrets or an SSH agent. ``secrets`` are values by id; they stay in no image.
    """

    tag: str
    dockerfile: str = "Dockerfile"
    target: str = ""
    build_args: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    no_cache: bool = False
    timeout_s: float = 1800.0
    memory_bytes: int | None = None
    cpus: float | None = None
    platform: str = ""  # as in linux/arm64; empty for the machine's own
    session: bool = False
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    network: str = "default"  # of RUN lines; or none
    cache: str = ""  # the namespace of `RUN --mount=type=cache`; "": the one that all builds of the engine share
    layers: str = ""  # a word without which nobody is given a layer of a RUN line; "": who has the same line is

    @property
    def arguments(self) -> dict[str, str]:
        """The build's arguments, with those that rule BuildKit itself; no Dockerfile has a say in these."""
        return {**self.build_args, **({CACHE_NAMESPACE: self.cache} if self.cache else {})}

    @property
    def host(self) -> str:
        """``NAME:ADDRESS`` of a host that every RUN line knows by name, and no layer; "" without ``layers``.

        Its name is in the key of BuildKit's cache for each RUN line (only the address is not), of 20.10 as of the
        newest: the one thing that reaches all of these and that no Dockerfile has to declare.
        """
        return f"{self.layers}.invalid:{NOWHERE}" if self.layers else ""


@dataclass(frozen=True, slots=True)
class Image:
    """What the pipeline needs to know of an image. ``tcp_ports`` are the EXPOSEd ones, lowest first."""

    id: str
    size_bytes: int
    tcp_ports: tuple[int, ...] = ()
    has_healthcheck: bool = False
    healthcheck: tuple[str, ...] = ()  # the HEALTHCHECK's command as it can be run in the container
    has_command: bool = True
    entrypoint: tuple[str, ...] = ()
    user: str = ""
    volumes: tuple[str, ...] = ()  # the paths that it calls so: a new volume each with each container
    names: tuple[str, ...] = ()  # its tags, and its digests in the registries that it came from


@dataclass(frozen=True, slots=True)
class HeldImage:
    """An image as a listing shows it. ``in_use``: a container, running or not, was made from it."""

    id: str
    tags: tuple[str, ...]
    labels: Mapping[str, str]
    size_bytes: int
    in_use: bool


@dataclass(frozen=True, slots=True)
class Capacity:
    """What the machine that runs containers has in all."""

    cpus: int
    memory_bytes: int
    platforms: tuple[str, ...] = ()  # that it can build and run, its own first


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """The engine itself. ``live_restore``: containers go on while it restarts.

    ``seccomp``: containers have a list of system calls; ``user_namespaces``: their root is nobody on the machine;
    ``cgroup_driver``: cgroupfs or systemd.
    """

    version: str
    live_restore: bool
    seccomp: bool = True
    user_namespaces: bool = False
    cgroup_driver: str = ""


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """All that makes a container. ``address`` None lets the engine choose (one-off containers only)."""

    name: str
    image_id: str
    network: str
    command: tuple[str, ...] | None = None
    entrypoint: bool = False  # ``command`` is for the image's ENTRYPOINT, which it replaces otherwise
    env: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    address: str | None = None
    restart: bool = True
    stop_timeout_s: float = 30.0
    memory_bytes: int | None = None
    cpus: float | None = None
    pids: int | None = None
    stdin: bool = False  # its standard input can be attached, and ends with the attachment
    terminal: tuple[int, int] | None = None  # columns and rows of the terminal that it shall have
    mounts: tuple[Mount, ...] = ()
    read_only: bool = False  # its root file system
    capabilities: tuple[str, ...] = ()  # beyond ``hardening.KEPT``
    hostname: str = ""  # "": Docker's own choice
    shm_bytes: int | None = None  # of /dev/shm
    stop_signal: str = ""  # "": the image's, else SIGTERM
    forwards: bool = True  # packets between the networks that it is in


@dataclass(frozen=True, slots=True)
class ContainerState:
    """A container as the engine sees it. ``status`` is created, running, restarting, exited, paused, removing or dead.

    ``labels`` has those of gitship's namespace only when gitship gave them to this very container (see ``label_hmac``).
    ``health`` is "", starting, healthy or unhealthy; ``error`` the engine's own words when it could not start it;
    ``started_at`` epoch seconds or None; ``finished_at``, too, None of one that has never ended. ``networks`` are its
    addresses by the networks' names.
    """

    id: str
    name: str
    labels: Mapping[str, str]
    status: str
    exit_code: int = 0
    oom_killed: bool = False
    restarts: int = 0
    address: str = ""
    health: str = ""
    health_output: str = ""
    error: str = ""
    started_at: float | None = None
    finished_at: float | None = None
    pid: int = 0
    networks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a container's log; ``at`` is epoch seconds, ``stream`` stdout or stderr, ``container`` its name.

    What happened to the container stands among its lines with the stream ``event``.
    """

    container: str
    at: float
    stream: str
    text: str


@dataclass(frozen=True, slots=True)
class EngineEvent:
    """Something happened to a container: ``action`` is one of ``events.ACTIONS``.

    ``at`` is epoch seconds by the engine's clock, ``signal`` that of a kill, ``exit_code`` that of a die.
    """

    at: float
    action: str
    container_id: str
    name: str
    labels: Mapping[str, str]
    exit_code: int | None = None
    signal: int | None = None
    health: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a container uses. ``at`` is ``time.monotonic``, ``cpu_s`` processor time since it started.

    Memory is without what the kernel would give up at once (unused file cache), as `docker stats` counts it.
    """

    at: float
    cpu_s: float
    memory_bytes: int
    limit_bytes: int | None
    peak_bytes: int | None = None  # the most it ever had, file cache included; None when the kernel does not tell
