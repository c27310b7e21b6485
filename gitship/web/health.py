"""How containers and traffic are, asked once every few seconds while somebody looks, however many they are."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from contextlib import suppress

from gitship.deploy.facts import RUNNING
from gitship.deploy.gates import MAINTENANCE
from gitship.deploy.https.operations import HostStatus
from gitship.deploy.lock import LOCK
from gitship.deploy.operations import Operations
from gitship.deploy.switch import STOPPED
from gitship.errors import GitshipError
from gitship.model import STATUS_PAGE, Container, Site
from gitship.store import Store
from gitship.web import figures
from gitship.web.figures import Visits
from gitship.web.live import Live

log = logging.getLogger(__name__)

FRESH_S = 5.0
CERTIFICATES_S = 60.0
TELL_VISITS_S = 15.0  # open pages draw new figures this often at most
WAIT_S = 1.5  # of a page; later, it shows what was known before


class Health:
    """Used on the event loop. ``states`` has Docker's word by container id; ``silent`` why Docker did not answer.

    ``visits`` has the traffic of those apps, by id, that had any within the hour; ``certificates`` the hosts of all
    sites, the status page's with them.
    """

    def __init__(self, store: Store, operations: Operations, live: Live, work: Executor) -> None:
        self._store = store
        self._facts = operations.facts
        self._stats = operations.stats
        self._https = operations.https
        self._live = live
        self._work = work
        self._asked_at = 0.0
        self._asking: asyncio.Task[None] | None = None
        self.states: Mapping[str, str] | None = None
        self.silent = ""
        self.visits: Mapping[int, Visits] = {}
        self._visits_told_at = 0.0
        self.certificates: Mapping[int, list[HostStatus]] = {}
        self._certificates_at = 0.0

    async def fresh(self) -> None:
        """Waits a moment for an answer when the last one is too old; never raises."""
        if time.monotonic() - self._asked_at < FRESH_S:
            return
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask(), name="web-health")
        await asyncio.wait([self._asking], timeout=WAIT_S)

    async def watch(self) -> None:
        """Goes on asking while there are viewers, and tells them of the apps that changed."""
        before = self._settings()
        while True:
            await asyncio.sleep(FRESH_S)
            if not self._live.watched:
                continue
            await self.fresh()
            after = self._settings()
            touched = set[int]().union(*(a ^ b for a, b in zip(before, after, strict=True)))
            before = after
            if touched:
                self._live.changed({app.name for app in self._store.apps() if app.id in touched})

    def of(self, containers: Iterable[Container]) -> tuple[int, int]:
        """How many of them are well, and how many there are; all are taken for well while nothing is known."""
        states = [self.state(c) for c in containers]
        return sum(s in (RUNNING, "") for s in states), len(states)

    def state(self, container: Container) -> str:
        """Docker's word; "" while it is not known."""
        return "" if self.states is None else self.states.get(container.id, "missing")

    def _visits(self) -> Mapping[int, Visits]:
        found = {app.id: figures.visits(self._stats, app) for app in self._store.apps()}
        return {app_id: visits for app_id, visits in found.items() if visits}

    def _hosts(self) -> Mapping[int, list[HostStatus]]:
        found = {}
        sites: list[Site] = [*self._store.apps(), STATUS_PAGE]
        for site in sites:
            with suppress(GitshipError):  # destroyed meanwhile, or a certificate cannot be read
                found[site.id] = self._https.status(site)
        return found

    def _tell_visits(self, before: Mapping[int, Visits]) -> None:
        if time.monotonic() - self._visits_told_at > TELL_VISITS_S:
            self._visits_told_at = time.monotonic()
            changed = {a for a in before.keys() | self.visits.keys() if before.get(a) != self.visits.get(a)}
            if changed:
                self._live.changed({app.name for app in self._store.apps() if app.id in changed})

    def _settings(self) -> list[set[int]]:
        """The apps that are in maintenance, stopped or locked: commands that change this make no deploy."""
        return [self._store.apps_with_setting(name) for name in (MAINTENANCE, STOPPED, LOCK)]

    async def _ask(self) -> None:
        before = self.states
        try:
            self.states = await asyncio.get_running_loop().run_in_executor(self._work, self._facts.containers)
            self.silent = ""
        except GitshipError as error:
            self.states, self.silent = None, error.message
        except Exception:
            log.exception("asking Docker for the containers' states")
            self.states, self.silent = None, "Docker's answer cannot be read"
        visits_before = self.visits
        self.visits = await asyncio.get_running_loop().run_in_executor(self._work, self._visits)
        if not self._certificates_at or time.monotonic() - self._certificates_at > CERTIFICATES_S:
            self._certificates_at = time.monotonic()
            self.certificates = await asyncio.get_running_loop().run_in_executor(self._work, self._hosts)
        self._asked_at = time.monotonic()
        self._tell_visits(visits_before)
        if before is not None and before != self.states:
            self._live.changed(self._touched(before, self.states or {}))

    def _touched(self, before: Mapping[str, str], after: Mapping[str, str]) -> set[str]:
        names = {app.id: app.name for app in self._store.apps()}
        return {
            names[c.app_id]
            for c in self._store.containers()
            if before.get(c.id) != after.get(c.id) and c.app_id in names
        }
