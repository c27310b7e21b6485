"""Everything that can be done to an app, as plain functions: `commands` and `web` call these and nothing below them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from gitship.backup.create import Backups
from gitship.engine.types import LogLine
from gitship.https.app_https import AppHttps
from gitship.model import App, Deploy, Identity
from gitship.notify.webhooks import WebhookNotifications
from gitship.observe.status_facts import StatusFacts
from gitship.observe.traffic import Stats
from gitship.oneoff.cron import Cron
from gitship.oneoff.programs import Programs
from gitship.operations.canaries import Canaries
from gitship.operations.cleanup import Cleanup
from gitship.operations.clone import Cloning
from gitship.operations.lifecycle import Lifecycle
from gitship.operations.processes import ProcessStatus
from gitship.operations.registries import Registries
from gitship.operations.serving import Serving
from gitship.operations.sign_ins import SignIns
from gitship.operations.sources import Sources
from gitship.operations.storage import Storage
from gitship.operations.tuning import Tuning
from gitship.reconcile.reconciler import Reconciling
from gitship.routing.gate_settings import Gates
from gitship.routing.pause import AppPauses


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
    def serving(self) -> Serving:
        """Rules of the cache, purges, the error page."""
        ...

    @property
    def pauses(self) -> AppPauses:
        """Requests that wait."""
        ...

    @property
    def https(self) -> AppHttps:
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

    @property
    def notifications(self) -> WebhookNotifications:
        """Messages to webhooks."""
        ...

    @property
    def storage(self) -> Storage:
        """Volumes and host directories that containers mount, and what is in them."""
        ...

    @property
    def sources(self) -> Sources:
        """Deploys of what no push brings: another app's release, an image, an archive, a commit that is there."""
        ...

    @property
    def cloning(self) -> Cloning:
        """A second app like a first."""
        ...

    @property
    def registries(self) -> Registries:
        """Logins at image registries."""
        ...

    @property
    def stats(self) -> Stats:
        """What visitors asked for, and how that was answered."""
        ...

    @property
    def canaries(self) -> Canaries:
        """New releases that a share of the visitors tries."""
        ...

    @property
    def sign_ins(self) -> SignIns:
        """Who may see the status page."""
        ...

    @property
    def backups(self) -> Backups:
        """The whole server as one archive."""
        ...

    @property
    def cleanup(self) -> Cleanup:
        """What takes room on the disk and is needed no more."""
        ...

    @property
    def facts(self) -> StatusFacts:
        """What the status page shows beside the store."""
        ...

    @property
    def reconciling(self) -> Reconciling:
        """What is wanted and what there is, compared and put right."""
        ...

    def create_app(self, name: str, by: Identity) -> App: ...

    def destroy_app(self, app: App, by: Identity) -> None:
        """Cancels its deploys, takes it out of Varnish, removes all of it: containers, volumes, images, records, ..."""
        ...

    def change_config(
        self, app: App, changes: Mapping[str, str | None], by: Identity, *, restart: bool = True
    ) -> Deploy | None:
        """Sets (or, with None, unsets) config values; a live app gets a new release, without a build.

        With ``restart`` False, and for an app that is stopped, they wait for the next deploy.
        """
        ...

    def add_domain(self, app: App, domain: str, by: Identity) -> None: ...

    def remove_domain(self, app: App, domain: str, by: Identity) -> None: ...

    def urls(self, app: App) -> list[str]:
        """Where the app answers, best address first."""
        ...

    def scale(self, app: App, quantities: Mapping[str, int], by: Identity) -> Deploy | None: ...

    def restart(self, app: App, by: Identity) -> Deploy:
        """New containers of the live release, by the same pipeline, with no failed request."""
        ...

    def rollback(self, app: App, number: int | None, by: Identity) -> Deploy:
        """A new release with the image, config and processes of release ``number`` (default: the previous good one)."""
        ...

    def cancel(self, app: App, by: Identity) -> Deploy:
        """Ends the app's running or queued deploy. Raises NotFound when there is none."""
        ...

    def deploy_pushed(self, app: App, ref: str, old: str, new: str, by: Identity) -> Deploy | None:
        """Deploys what a push by another road (a file path) has put on the deploy branch; None for another branch."""
        ...

    def follow(self, deploy: Deploy, write: Callable[[str], None], gone: threading.Event) -> Deploy:
        """Hands over every output line from the beginning until the end (or ``gone``); the record as it is then."""
        ...

    def processes(self, app: App) -> list[ProcessStatus]:
        """The containers that shall be live, with what they use now."""
        ...

    def logs(
        self,
        app: App,
        *,
        process: str | None = None,
        tail: int = 100,
        since: float | None = None,
        follow: bool = False,
        stop: threading.Event | None = None,
        matches: Callable[[str], bool] | None = None,
        release: int | None = None,
    ) -> Iterator[LogLine]:
        """The last ``tail`` matching lines of each live container, and what happened to them, interleaved by time.

        With ``follow`` also all that come, of later releases too, until ``stop`` is set; NotFound when the app is
        destroyed. With ``release`` (its number) those of all containers that it has had, as far as they are kept.
        """
        ...
