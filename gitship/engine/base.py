"""Where containers run: the interface that ``deploy`` knows. ``docker.py`` is the one for a single machine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from gitship.engine.references import Reference
from gitship.errors import Conflict
from gitship.model import Mount

LABEL_SERVER = "gitship.server"  # which gitship installation owns it
LABEL_APP = "gitship.app"  # its name when this was made
LABEL_APP_ID = "gitship.app-id"  # stays the same when the app is renamed, and is never used again
LABEL_RELEASE = "gitship.release"  # the release's number
LABEL_PROCESS = "gitship.process"
LABEL_DEPLOY = "gitship.deploy"  # the deploy's id
LABEL_ONE_OFF = "gitship.one-off"  # attached or detached: a command that somebody runs, which no deploy owns
LABEL_VOLUME = "gitship.volume"  # what its app calls a volume
LABEL_HELPER = "gitship.helper"  # a container that never runs, through which a volume is read or written


@dataclass(frozen=True, slots=True)
class BuildStep:
    """A step of a build as it becomes known: started (``seconds`` None), ended, or failed (``error`` set)."""

    number: int
    name: str
    seconds: float | None = None
    cached: bool = False
    error: str = ""

    @property
    def internal(self) -> bool:
        """True for what the builder does of its own accord, such as loading the context: no line of the Dockerfile."""
        return not self.name.startswith("[") or self.name.startswith("[internal]")


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


@dataclass(frozen=True, slots=True)
class Image:
    """What the pipeline needs to know of an image. ``tcp_ports`` are the EXPOSEd ones, lowest first."""

    id: str
    size_bytes: int
    tcp_ports: tuple[int, ...] = ()
    has_healthcheck: bool = False
    healthcheck: tuple[str, ...] = ()  # the HEALTHCHECK's command as it can be run in the container
    has_command: bool = True
    user: str = ""
    names: tuple[str, ...] = ()  # its tags, and its digests in the registries that it came from


@dataclass(frozen=True, slots=True)
class Capacity:
    """What the machine that runs containers has in all."""

    cpus: int
    memory_bytes: int
    platforms: tuple[str, ...] = ()  # that it can build and run, its own first


@dataclass(frozen=True, slots=True)
class About:
    """The engine itself. ``live_restore``: containers go on while it restarts."""

    version: str
    live_restore: bool


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """All that makes a container. ``address`` None lets the engine choose (one-off containers only)."""

    name: str
    image_id: str
    network: str
    command: tuple[str, ...] | None = None
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


@dataclass(frozen=True, slots=True)
class ContainerState:
    """A container as the engine sees it. ``status`` is created, running, restarting, exited, paused or dead.

    ``health`` is "", starting, healthy or unhealthy; ``error`` the engine's own words when it could not start it;
    ``started_at`` epoch seconds or None.
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
    pid: int = 0


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


class Program(Protocol):
    """A program in a container by its streams. One thread may read, another write, a third resize.

    Reading and writing raise ``patience.Interrupted`` when the client has gone, ``patience.Expired`` when time is up,
    and EngineError when Docker goes away.
    """

    def output(self) -> Iterator[tuple[str, bytes]]:
        """(stdout or stderr, bytes) until the program has closed both. A terminal has stdout only."""
        ...

    def send(self, data: bytes) -> bool:
        """Bytes to its standard input; False when it takes no more."""
        ...

    def end_input(self) -> None:
        """Its standard input ends here; on a terminal this is Ctrl-D. Its output goes on."""
        ...

    def resize(self, columns: int, rows: int) -> bool:
        """The terminal's new size; False when the program is not there (yet, or any more)."""
        ...

    def exit_code(self) -> int:
        """Waits for the end."""
        ...

    def close(self) -> None:
        """Lets go of it. A command in another's container is killed if it still runs."""
        ...


class NameTaken(Conflict):
    """A container of that name is there: of another installation on this engine, or made by hand."""


class Volumes(Protocol):
    """What containers keep. Every method raises EngineError when the engine refuses or does not answer in time.

    Archives are tar, names relative to the volume's root. ``labels`` go on what is made for the purpose; they have at
    least LABEL_SERVER and LABEL_VOLUME.
    """

    def make(self, name: str, labels: Mapping[str, str]) -> None:
        """An empty volume; nothing happens when it is there already."""
        ...

    def exists(self, name: str) -> bool: ...

    def remove(self, name: str) -> bool:
        """Removes the volume with its data; True when it is gone, False while a container uses it."""
        ...

    def find(self, labels: Mapping[str, str]) -> dict[str, Mapping[str, str]]:
        """All volumes that carry these labels, each with its own."""
        ...

    def size_bytes(self, name: str) -> int | None:
        """What its files take; None when that cannot be told in a moment."""
        ...

    def read(
        self, name: str, labels: Mapping[str, str], gone: threading.Event
    ) -> AbstractContextManager[Iterator[bytes]]:
        """The content as an archive. Reading raises ``patience.Interrupted`` when ``gone`` is set."""
        ...

    def write(self, name: str, chunks: Iterable[bytes], labels: Mapping[str, str], gone: threading.Event) -> None:
        """Unpacks an archive into the volume. Whatever fails, also in ``chunks`` itself, leaves a part of it there."""
        ...

    def host_path(self, path: str) -> str:
        """The host's directory without symbolic links. Raises GitshipError unless it is there and may be mounted."""
        ...

    def helpers(self) -> set[str]:
        """Names of the containers by which volumes are being read or written now."""
        ...


class Engine(Protocol):
    """Every method raises EngineError (with a hint) when the engine refuses or does not answer in time."""

    @property
    def volumes(self) -> Volumes: ...

    def ping(self) -> str:
        """The engine's version."""
        ...

    def free_bytes(self) -> int:
        """Free space where the engine keeps images."""
        ...

    def capacity(self) -> Capacity:
        """What the engine's machine has."""
        ...

    def build(
        self,
        context: Iterable[bytes],
        options: BuildOptions,
        on_event: Callable[[BuildStep | BuildOutput], None],
        cancel: threading.Event,
    ) -> Image:
        """Builds a tar stream. Raises DeployError (step, cause, last lines), DeployCanceled when ``cancel`` is set."""
        ...

    def image(self, image_id: str) -> Image:
        """By its id or a name. Raises NotFound when there is none."""
        ...

    def pull(
        self,
        reference: Reference,
        auth: str,
        on_line: Callable[[str], None],
        on_bytes: Callable[[int, int], None],
        cancel: threading.Event,
        timeout_s: float,
    ) -> None:
        """Brings an image from a registry; ``auth`` is ``pulls.authorization`` or empty; ``on_bytes`` gets (here, of).

        Raises DeployError when the registry does not give it, DeployCanceled when ``cancel`` is set.
        """
        ...

    def login(self, server: str, username: str, password: str) -> None:
        """Asks a registry whether it takes these. Raises EngineError when it does not, or does not answer."""
        ...

    def tag(self, image_id: str, reference: str) -> None:
        """Gives the image a further name, by which it is held. Raises NotFound when it is gone."""
        ...

    def untag(self, reference: str) -> None:
        """Takes a name away; the image goes with its last one. Nothing happens when it is gone already."""
        ...

    def remove_image(self, image_id: str, mine: Callable[[str], bool], only_label: tuple[str, str]) -> bool:
        """Takes away the tags that are ``mine``; True when the image is gone.

        It goes with its last tag, unless a container needs it; one that has no tag at all goes when it has that label.
        """
        ...

    def ensure_network(self, name: str, subnet: str, labels: Mapping[str, str]) -> bool:
        """True when the network is there with that subnet; False when the subnet overlaps another network's."""
        ...

    def remove_network(self, name: str) -> None: ...

    def create(self, spec: ContainerSpec) -> str:
        """The new container's id.

        Raises NameTaken, Conflict when the address is in use, NotFound when a volume is gone.
        """
        ...

    def start(self, container_id: str) -> None: ...

    def inspect(self, container_id: str) -> ContainerState:
        """Raises NotFound when it is gone."""
        ...

    def list(self, labels: Mapping[str, str]) -> list[ContainerState]:
        """All containers, running or not, that carry these labels, none meaning every container.

        Cheap: one call, without addresses or health in detail.
        """
        ...

    def stop(self, container_id: str, timeout_s: float) -> None:
        """SIGTERM, then SIGKILL after ``timeout_s``. Nothing happens when it is gone already."""
        ...

    def remove(self, container_id: str) -> None:
        """Kills it if need be and removes it with its anonymous volumes. Nothing happens when it is gone already."""
        ...

    def run(
        self, spec: ContainerSpec, on_line: Callable[[str], None], cancel: threading.Event, timeout_s: float
    ) -> int:
        """Runs a one-off container to its end, handing each line over; the exit code. Always removes it."""
        ...

    def exec(self, container_id: str, command: tuple[str, ...], timeout_s: float) -> tuple[int, str]:
        """Exit code and output of a command in a running container."""
        ...

    def attach(self, container_id: str, *, terminal: bool, gone: threading.Event, timeout_s: float) -> Program:
        """The streams of a container made with ``stdin``, best before its start; ``timeout_s`` may be inf."""
        ...

    def attach_exec(
        self,
        container_id: str,
        command: tuple[str, ...],
        *,
        env: Mapping[str, str],
        terminal: tuple[int, int] | None,
        gone: threading.Event,
    ) -> Program:
        """Runs a command in a running container with streams; ``terminal`` is columns and rows."""
        ...

    def logs(
        self,
        container_id: str,
        *,
        tail: int | None = None,
        since: float | None = None,
        follow: bool = False,
        stop: threading.Event | None = None,
    ) -> Iterator[LogLine]:
        """Log lines, oldest first. With ``follow`` until the container ends or ``stop`` is set."""
        ...

    def events(
        self, labels: Mapping[str, str], *, since: float, until: float | None = None, stop: threading.Event
    ) -> Iterator[EngineEvent]:
        """What happens to containers with these labels, from ``since`` (epoch seconds, as far as it is remembered) on.

        Ends at ``until`` or when ``stop`` is set.
        """
        ...

    def usage(self, container_id: str) -> Usage | None:
        """What a running container uses now; None when this machine cannot tell."""
        ...
