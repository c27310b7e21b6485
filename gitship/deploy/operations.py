"""Everything that can be done to an app, as plain functions: `commands` and `web` call these and nothing below them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from gitship.deploy.cron import Cron
from gitship.deploy.gates import Gates
from gitship.deploy.https.operations import Https
from gitship.deploy.lifecycle import Lifecycle
from gitship.deploy.programs import Programs
from gitship.deploy.tuning import Tuning
from gitship.engine.base import LogLine
from gitship.model import App, Deploy, Identity


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """A running (or not) container of an app's live release; ``started_at`` is epoch seconds."""

    container: str
    process: str
    release: int
    status: str
    health: str
    address: str
    port: int | None
    restarts: int
    started_at: float | None


class Operations(Protocol):
    """Changes return the Deploy that carries them out, or None when nothing has to be deployed.

    Every method raises GitshipError (NotFound, Conflict, ...) with a hint.
    """

    @property
    def lifecycle(self) -> Lifecycle:
        """Lock, rename, stop, start, build again."""
        ...

    @property
    def programs(self) -> Programs:
        """Commands in containers of their own, and in running ones."""
        ...

    @property
    def gates(self) -> Gates:
        """Maintenance, redirects, passwords, networks let in."""
        ...

    @property
    def https(self) -> Https:
        """Certificates, and who is sent from http to https."""
        ...

    @property
    def tuning(self) -> Tuning:
        """Port, checks, limits and build settings that are set by command."""
        ...

    @property
    def cron(self) -> Cron:
        """Commands that run by the clock."""
        ...

    def create_app(self, name: str) -> App: ...

    def destroy_app(self, name: str) -> None:
        """Cancels its deploys, takes it out of Varnish, removes containers, network, images, repository and records."""
        ...

    def change_config(
        self, app: str, changes: Mapping[str, str | None], by: Identity, *, restart: bool = True
    ) -> Deploy | None:
        """Sets (or, with None, unsets) config values; a live app gets a new release, without a build.

        With ``restart`` False, and for an app that is stopped, they wait for the next deploy.
        """
        ...

    def add_domain(self, app: str, domain: str) -> None: ...

    def remove_domain(self, app: str, domain: str) -> None: ...

    def urls(self, app: App) -> list[str]:
        """Where the app answers, best address first."""
        ...

    def scale(self, app: str, quantities: Mapping[str, int], by: Identity) -> Deploy | None: ...

    def restart(self, app: str, by: Identity) -> Deploy:
        """New containers of the live release, by the same pipeline, with no failed request."""
        ...

    def rollback(self, app: str, number: int | None, by: Identity) -> Deploy:
        """A new release with the image, config and processes of release ``number`` (default: the previous good one)."""
        ...

    def cancel(self, app: str) -> Deploy:
        """Ends the app's running or queued deploy. Raises NotFound when there is none."""
        ...

    def deploy_pushed(self, app: str, ref: str, old: str, new: str, by: Identity) -> Deploy | None:
        """Deploys what a push by another road (a file path) has put on the deploy branch; None for another branch."""
        ...

    def follow(self, deploy: Deploy, write: Callable[[str], None], gone: threading.Event) -> Deploy:
        """Hands over every output line from the beginning until the end (or ``gone``); the record as it is then."""
        ...

    def processes(self, app: str) -> list[ProcessStatus]: ...

    def logs(
        self,
        app: str,
        *,
        process: str | None = None,
        tail: int = 100,
        since: float | None = None,
        follow: bool = False,
        stop: threading.Event | None = None,
    ) -> Iterator[LogLine]:
        """Lines of all containers of the live release, interleaved by time."""
        ...
