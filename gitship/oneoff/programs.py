"""Interface of `run` and `enter` to containers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from gitship.containers.attach_client import AttachedClient
from gitship.model import App, Identity

MOST_PER_APP = 20
NOT_FOUND = 127  # the exit code of a shell for a command that is not there ...
NOT_EXECUTABLE = 126  # ... or cannot be executed
TIMED_OUT = 124  # the exit code that timeout(1) gives


@dataclass(frozen=True, slots=True)
class ProgramCommand:
    """``env`` is added to the app's config; ``timeout_s`` None is no limit.

    ``entrypoint`` says whether the words are for the image's ENTRYPOINT; None: as the release has it, and a single word
    that is a process type stands for what that runs.
    """

    words: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float | None = None
    entrypoint: bool | None = None


@dataclass(frozen=True, slots=True)
class OneOff:
    """A one-off container that is there now. Times are epoch seconds; ``ends_at`` None is no limit."""

    name: str
    command: str
    release: int
    attached: bool
    by: str
    status: str
    started_at: float
    ends_at: float | None


class Programs(Protocol):
    """Every method raises GitshipError (NotFound, Conflict, ...) with a hint."""

    def run(self, app: App, command: ProgramCommand, client: AttachedClient, by: Identity) -> int:
        """Runs it in a container of its own, which is gone afterwards; the exit code. Raises ClientLeft."""
        ...

    def run_detached(self, app: App, command: ProgramCommand, by: Identity) -> str:
        """Starts it in a container of its own, which is removed at its end; the container's name."""
        ...

    def one_offs(self, app: App) -> list[OneOff]: ...

    def stop(self, app: App, name: str, by: Identity) -> str:
        """SIGTERM, and SIGKILL a while later; the name in full."""
        ...

    def output(self, app: App, name: str) -> Iterator[str]:
        """The lines that a detached one has printed so far."""
        ...

    def enter(
        self,
        app: App,
        process: str | None,
        number: int | None,
        command: ProgramCommand,
        client: AttachedClient,
        by: Identity,
    ) -> int:
        """Runs it in a running container of the live release; the exit code. Raises ClientLeft."""
        ...
