"""The apps that are linked to a service: their deploys for its sake, and their visitors, who wait while it is away."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from gitship.appsettings import STOPPED
from gitship.deploy.job import Request
from gitship.errors import GitshipError
from gitship.front.pause_vcl import MOST_S
from gitship.model import App, DeployKind, Identity
from gitship.model.services import Service
from gitship.operations.shared import Shared
from gitship.routing.pause import ServerPauses
from gitship.services.tasks import TaskJournal

DRAIN_S = 35.0  # more than a drain takes by default
POLL_S = 0.1


class LinkedApps:
    """Safe from any thread."""

    def __init__(self, shared: Shared, pauses: ServerPauses) -> None:
        self._store = shared.store
        self._jobs = shared.jobs
        self._pauses = pauses

    def deploy(
        self, app: App, cause: str, by: Identity, journal: TaskJournal, begun: Callable[[int], None] = lambda _: None
    ) -> None:
        """Brings what has changed to the app's containers, if it runs any. ``begun`` gets the deploy's id.

        Raises GitshipError when it does not go live.
        """
        app = self._store.confirm(app, by)
        if not self.runs(app):
            return
        deploy = self._jobs.submit(app, Request(DeployKind.CONFIG, cause), by)
        begun(deploy.id)
        ended = self._jobs.follow(deploy, journal.line, journal.gone)
        if not ended.state.switched:
            raise GitshipError(
                f"deploy {deploy.id} of {app.name} did not go live: {ended.reason or ended.state}",
                f"mend that, then: ps:restart {app.name}",
            )

    @contextmanager
    def waiting(self, service: Service, by: Identity, journal: TaskJournal) -> Iterator[None]:
        """Visitors of its apps wait within the block, at most as long as Varnish holds a request."""
        with ExitStack() as held:
            for app_id in sorted({link.app_id for link in self._store.service_links(service_id=service.id)}):
                app = self._store.app_by_id(app_id)
                if not self.runs(app) or self._pauses.paused(app) is not None:
                    continue
                self._await_drain(app)
                try:
                    self._pauses.pause(app, MOST_S, by)
                except GitshipError as error:
                    journal.detail(f"visitors of {app.name} do not wait: {error.message}")
                    continue
                journal.detail(f"visitors of {app.name} wait")
                held.callback(self._resume, app, by)
            yield

    def _await_drain(self, app: App) -> None:
        """What a deploy's old containers still answer would be failed: a pause counts only requests of the new ones."""
        deadline = time.monotonic() + DRAIN_S
        while any(d.app_id == app.id for d in self._store.unfinished_deploys()) and time.monotonic() < deadline:
            time.sleep(POLL_S)

    def _resume(self, app: App, by: Identity) -> None:
        with suppress(GitshipError):  # over already, or the app is gone
            self._pauses.resume(app, by)

    def runs(self, app: App) -> bool:
        return app.live_release is not None and self._store.setting(app.id, STOPPED) is not True
