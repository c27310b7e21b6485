"""Repairs the routes in Varnish."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress

from gitship.appsettings import DESTROYING, RENAMING
from gitship.config import Settings
from gitship.containers.claims import Claims
from gitship.containers.discrepancies import Change, RepairAction
from gitship.deploy.queue import DeployQueue
from gitship.errors import GitshipError, NotFound
from gitship.front.front import AppFront, Front
from gitship.model import App
from gitship.per_app_errors import PerAppErrors
from gitship.routing import switch
from gitship.routing.access_control import AccessControl
from gitship.routing.desired_state import DesiredState
from gitship.routing.status_page_route import status_front
from gitship.store import Store

HOSTS = "the table of hosts"
ROUTE = "its route in Varnish"
WHY = "it was out of date"


class RouteRepair:
    """Safe from any thread, also beside deploys: an app that has one is left to it."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        front: Front,
        wanted: DesiredState,
        access_control: AccessControl,
        queue: DeployQueue,
        claims: Claims,
        apart: PerAppErrors | None = None,
    ) -> None:
        self._apart = apart or PerAppErrors()
        self._settings = settings
        self._store = store
        self._front = front
        self._wanted = wanted
        self._access_control = access_control
        self._queue = queue
        self._claims = claims
        self.left: set[int] = set()  # ids of apps that were left to a deploy: it may fail, and the route stay wrong

    def load(self) -> None:
        """At the start, before anything else changes: exactly what is wanted and no more. Raises FrontError."""
        self._front.reload([*self._fronts(self._store.apps(), []).values(), *self._status()], self._hosts())

    def settle(self, failed: list[GitshipError]) -> list[Change]:
        """What was changed; to ``failed`` is added what could not be, which is logged, too.

        Raises FrontError while Varnish is silent.
        """
        with self._apart.round():
            changes = self.of(self._store.apps(), failed)
        if self._front.bring_hosts(self._hosts):
            changes.append(Change("", RepairAction.RELOAD, HOSTS, WHY))
        return changes

    def of(self, apps: Sequence[App], failed: list[GitshipError]) -> list[Change]:
        """The same for these apps alone. An app that is being deployed has its route from the deploy."""
        changes = []
        self.left = {app.id for app in apps if self._deploying(app)}
        for app in self._wrong(apps, failed):
            with self._apart.part(app.name, ROUTE, failed), suppress(NotFound):  # destroyed meanwhile
                if self._bring(app):
                    changes.append(_changed(app))
        return changes

    def amiss(self) -> list[Change]:
        """What ``settle`` would do now."""
        changes = [_changed(app) for app in self._wrong(self._store.apps(), [])]
        if self._front.hosts() != self._hosts():
            changes.append(Change("", RepairAction.RELOAD, HOSTS, WHY))
        return changes

    def _bring(self, app: App) -> bool:
        """Looks once more with the claim; without it somebody else is about to change the route."""
        with self._claims.at_once(app.id) as mine:
            if not mine:
                return False
            with self._front.holding(app.id):
                now = self._store.app_by_id(app.id)
                if self._deploying(now) or not self._front.wrong([self._wanted.front(now)]):
                    return False
                self._access_control.bring(app.id)
                return True

    def _wrong(self, apps: Iterable[App], failed: list[GitshipError]) -> list[App]:
        found = self._fronts(apps, failed).items()
        fronts = {app.slug: (app, front) for app, front in found if not self._deploying(app)}
        wrong = self._front.wrong([front for _, front in fronts.values()])
        return [fronts[slug][0] for slug in wrong]

    def _deploying(self, app: App) -> bool:
        """A deploy changes the route itself, a canary has two, a rename another name."""
        return self._queue.running(app.id) is not None or self._store.setting(app.id, RENAMING) is not None

    def _fronts(self, apps: Iterable[App], failed: list[GitshipError]) -> dict[App, AppFront]:
        going = self._store.apps_with_setting(DESTROYING)
        found = {}
        for app in apps:
            with self._apart.part(app.name, "its Varnish configuration", failed), suppress(NotFound):
                if app.id not in going:
                    found[app] = self._wanted.front(app)
        return found

    def _status(self) -> list[AppFront]:
        status = status_front(self._store, self._settings)
        return [] if status is None else [status]

    def _hosts(self) -> dict[str, str]:
        return switch.hosts(self._store, self._settings.domain, self._settings.web.domain)


def _changed(app: App) -> Change:
    return Change(app.name, RepairAction.RELOAD, f"{app.name}: {ROUTE}", WHY)
