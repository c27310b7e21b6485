"""Interface of the container engine; ``docker.py`` implements it for a single machine."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from gitship.engine.image_references import ImageReference
from gitship.engine.types import (
    BuildOptions,
    BuildOutput,
    BuildStep,
    Capacity,
    ContainerSpec,
    ContainerState,
    EngineEvent,
    HeldImage,
    Image,
    LogLine,
    Usage,
)
from gitship.errors import Conflict, EngineError, NotFound
from gitship.model import Mount


class Program(Protocol):
    """A program in a container by its streams. One thread may read, another write, a third resize.

    Reading and writing raise ``timeouts.WaitInterrupted`` when the client has gone, ``timeouts.TimeoutExpired`` when
    time is up, and EngineError when Docker goes away.
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


class ImageGone(NotFound):
    """The image that a container is to be made from is not there: somebody has removed it by hand."""


class NoSpace(EngineError):
    """The engine's disk is full."""


class ReserveSpace(Protocol):
    """What can be given up for room on the engine's disk."""

    def look(self) -> None:
        """Gives it up when the disk is nearly full. Never raises."""
        ...

    def give_up(self) -> bool:
        """True when there is room now that was not there before. Never raises."""
        ...


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
        """The content as an archive. Reading raises ``timeouts.WaitInterrupted`` when ``gone`` is set."""
        ...

    def write(self, name: str, chunks: Iterable[bytes], labels: Mapping[str, str], gone: threading.Event) -> None:
        """Unpacks an archive into the volume. Whatever fails, also in ``chunks`` itself, leaves a part of it there."""
        ...

    def host_path(self, path: str) -> str:
        """The host's directory without symbolic links. Raises GitshipError unless it is there and may be mounted."""
        ...

    def ensure_usable(self, mount: Mount, beside: Sequence[Mount] = ()) -> None:
        """Raises GitshipError when a container must not have it now; ``beside`` are all mounts of that container."""
        ...

    def helpers(self) -> set[str]:
        """Names of the containers by which volumes are being read or written now."""
        ...


class Images(Protocol):
    """Where containers come from. Every method raises EngineError as those of ``Engine`` do."""

    def build(
        self,
        context: Iterable[bytes],
        options: BuildOptions,
        on_event: Callable[[BuildStep | BuildOutput], None],
        cancel: threading.Event,
    ) -> Image:
        """Builds a tar stream. Raises DeployError (step, cause, last lines), DeployCanceled when ``cancel`` is set."""
        ...

    def store(self) -> str:
        """The store that images are kept in, for people: what is in another of the engine's is not there."""
        ...

    def inspect(self, image_id: str) -> Image:
        """By its id or a name. Raises NotFound when there is none."""
        ...

    def runs_words(self, image_id: str) -> bool:
        """True when its ENTRYPOINT runs the command that follows it, as `tini` or a script with `exec "$@"`."""
        ...

    def pull(
        self,
        reference: ImageReference,
        auth: str,
        on_line: Callable[[str], None],
        on_bytes: Callable[[int, int], None],
        cancel: threading.Event,
        timeout_s: float,
    ) -> None:
        """Brings an image from a registry; ``auth`` is ``pull.authorization`` or empty; ``on_bytes`` gets (here, of).

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

    def remove(self, image_id: str, mine: Callable[[str], bool], *, untagged: bool) -> bool:
        """Takes away the tags that are ``mine``; True when the image is gone.

        It goes with its last tag, unless a container needs it; one that has no tag at all goes only when ``untagged``.
        """
        ...

    def held(self, label: str, value: str, reference: str) -> list[HeldImage]:
        """Images that carry the label, which proves nothing, or a tag like ``reference`` (with ``*``)."""
        ...

    def cache_bytes(self) -> int:
        """What the builder's cache takes; may take seconds."""
        ...

    def prune_cache(self, keep_bytes: int, unused_s: int = 0) -> int:
        """Removes cache until no more is left than that, what was used longest ago first; the bytes that went.

        What was used within ``unused_s`` stays in any case, and so does what a build is using now.
        """
        ...


class Engine(Protocol):
    """Every method raises EngineError (with a hint) when the engine refuses or does not answer in time."""

    @property
    def images(self) -> Images: ...

    @property
    def volumes(self) -> Volumes: ...

    def ping(self) -> str:
        """The engine's version."""
        ...

    def image_root(self) -> Path | None:
        """Where the engine keeps images; None when that is not on this machine."""
        ...

    def free_bytes(self) -> int:
        """Free space where the engine keeps images and everything else: on the fuller disk when these are two."""
        ...

    def capacity(self) -> Capacity:
        """What the engine's machine has."""
        ...

    def ensure_network(self, name: str, subnet: str, labels: Mapping[str, str]) -> bool:
        """True when the network is there with that subnet; False when the subnet overlaps another network's."""
        ...

    def remove_network(self, name: str) -> None: ...

    def networks(self, labels: Mapping[str, str]) -> list[str]:
        """Names of the networks that carry these labels."""
        ...

    def connect(self, container_id: str, network: str, address: str, hosts: Sequence[str]) -> None:
        """A container, running or not, comes into a further network, where ``hosts`` are its names.

        Nothing happens when it is there. Raises Conflict when the address is in use, NotFound when either is gone.
        """
        ...

    def disconnect(self, container_id: str, network: str) -> None:
        """Its connections by that network end. Nothing happens when it is not in it, or either is gone."""
        ...

    def create(self, spec: ContainerSpec) -> str:
        """The new container's id.

        Raises NameTaken, ImageGone, Conflict when the address is in use, NotFound when a volume is gone.
        """
        ...

    def start(self, container_id: str) -> None: ...

    def inspect(self, container_id: str) -> ContainerState:
        """Raises NotFound when it is gone."""
        ...

    def list(self, labels: Mapping[str, str]) -> list[ContainerState]:
        """All containers, running or not, that carry these labels, none meaning every container.

        Cheap: one call, without addresses or health in detail. Labels only find: a container that has them from its
        image is among these, and its state has none of gitship's (see ``label_hmac``).
        """
        ...

    def leave_down(self, container_id: str) -> None:
        """The engine does not start it again by itself any more. Nothing happens when it is gone already."""
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

    def exec(
        self, container_id: str, command: tuple[str, ...], timeout_s: float, events: tuple[threading.Event, ...] = ()
    ) -> tuple[int, str]:
        """Exit code and output of a command in a running container. Raises DeployCanceled on one of ``events``."""
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
        timeout_s: float = math.inf,
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

    def changed(self, container_id: str) -> Mapping[str, bool]:
        """The paths that a container has changed of its image, or has added (True); not in its volumes."""
        ...

    def usage(self, container_id: str) -> Usage | None:
        """What a running container uses now; None when this machine cannot tell."""
        ...
