"""Cached state of containers and traffic, refreshed while somebody watches."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Collection, Mapping
from concurrent.futures import Executor
from contextlib import suppress

from gitship.appsettings import LOCK, MAINTENANCE, STOPPED
from gitship.containers import crash_loops
from gitship.errors import GitshipError, NotFound
from gitship.https.app_https import HostStatus
from gitship.model import STATUS_PAGE, Container, Site
from gitship.observe import app_state
from gitship.observe.app_state import Words
from gitship.operations.operations import Operations
from gitship.operations.ps import CRASH_LOOP
from gitship.per_app_errors import PerAppErrors
from gitship.store import Store
from gitship.web import usage
from gitship.web.live_updates import LiveUpdates
from gitship.web.usage import Visits

log = logging.getLogger(__name__)

FRESH_S = 5.0
CERTIFICATES_S = 60.0
TELL_VISITS_S = 15.0  # open pages draw new figures this often at most
WAIT_S = 1.5  # of a page; later, it shows what was known before


class Health:
    """Used on the event loop. ``words`` has Docker's for each container, ``silent`` why it did not answer.

    ``front_answers``: Varnish does. ``visits`` has the traffic of those apps, by id, that had any within the hour;
    ``unanswered`` are the apps whose visitors get error pages, ``looping`` the ids of containers that crash again and
    again; ``certificates`` are the hosts of all sites, the status page among them, by app id. ``cpu_percent`` is of all
    the processors together.
    """

    def __init__(self, store: Store, operations: Operations, live: LiveUpdates, work: Executor) -> None:
        self._store = store
        self._facts = operations.facts
        self._stats = operations.stats
        self._pauses = operations.pauses
        self._https = operations.https
        self._live = live
        self._work = work
        self._asked_at = -math.inf
        self._asking: asyncio.Task[None] | None = None
        self.words = Words()
        self.silent = ""
        self.front_answers = True
        self.visits: Mapping[int, Visits] = {}
        self.unanswered: Collection[int] = ()
        self.looping: Collection[str] = ()
        self._processor = usage.Processor()
        self.cpu_percent: float | None = None
        self._visits_told_at = 0.0
        self.certificates: Mapping[int, list[HostStatus]] = {}
        self._certificates_at = 0.0
        self._apart = PerAppErrors()

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

    def state(self, container: Container) -> str:
        """See ``Words.of``; of one that crashes again and again that, also while it happens to run."""
        return CRASH_LOOP if container.id in self.looping else self.words.of(container)

    def _visits(self) -> tuple[Mapping[int, Visits], Collection[int]]:
        found: dict[int, Visits | None] = {}
        for app in self._store.apps():
            with self._apart.part(app.name, "its traffic"):
                found[app.id] = usage.visits(self._stats, app)
        failing = app_state.unanswered(self._stats.all_traffic(app_state.UNANSWERED_S))
        return {app_id: visits for app_id, visits in found.items() if visits}, failing

    def _hosts(self) -> Mapping[int, list[HostStatus]]:
        found = {}
        sites: list[Site] = [*self._store.apps(), STATUS_PAGE]
        for site in sites:
            with self._apart.part(site.name, "its certificates"), suppress(NotFound):  # destroyed meanwhile
                found[site.id] = self._https.status(site)
        return found

    def _loops(self) -> Collection[str]:
        now = time.time()
        since = now - crash_loops.WITHIN_S
        crashed = {
            e.container_id for app in self._store.apps() for e in self._store.container_events(app.id, since=since)
        }
        return {c for c in crashed if crash_loops.is_looping(self._store.events_of_container(c), now)}

    def _tell_visits(self, before: Mapping[int, Visits]) -> None:
        if time.monotonic() - self._visits_told_at > TELL_VISITS_S:
            self._visits_told_at = time.monotonic()
            changed = {a for a in before.keys() | self.visits.keys() if before.get(a) != self.visits.get(a)}
            if changed:
                self._live.changed({app.name for app in self._store.apps() if app.id in changed})

    def _settings(self) -> list[set[int]]:
        """The apps that are in maintenance, stopped, locked, paused or not answered: nothing of this makes a deploy."""
        paused = set()
        for app in self._store.apps():
            with self._apart.part(app.name, "whether it is paused"):
                if self._pauses.paused(app):
                    paused.add(app.id)
        settings = [self._store.apps_with_setting(name) for name in (MAINTENANCE, STOPPED, LOCK)]
        cut_off = set() if self.front_answers else {app.id for app in self._store.apps()}
        return [*settings, paused, set(self.unanswered), cut_off]

    async def _ask(self) -> None:
        before = self.words.said
        loop = asyncio.get_running_loop()
        try:
            self.words = await loop.run_in_executor(self._work, Words.ask, self._store, self._facts)
            self.silent = ""
        except GitshipError as error:
            self.words, self.silent = Words(), error.message
        except Exception:
            log.exception("asking Docker for the containers' states")
            self.words, self.silent = Words(), "cannot read Docker's answer"
        self.front_answers = await loop.run_in_executor(self._work, self._facts.front_answers)
        visits_before = self.visits
        self.visits, self.unanswered = await loop.run_in_executor(self._work, self._visits)
        self.looping = await loop.run_in_executor(self._work, self._loops)
        self.cpu_percent = await loop.run_in_executor(self._work, self._processor.percent)
        if not self._certificates_at or time.monotonic() - self._certificates_at > CERTIFICATES_S:
            self._certificates_at = time.monotonic()
            self.certificates = await loop.run_in_executor(self._work, self._hosts)
        self._asked_at = time.monotonic()
        self._tell_visits(visits_before)
        if before is not None and before != self.words.said:
            self._live.changed(self._touched(before, self.words.said or {}))

    def _touched(self, before: Mapping[str, str], after: Mapping[str, str]) -> set[str]:
        names = {app.id: app.name for app in self._store.apps()}
        return {
            names[c.app_id]
            for c in self._store.containers()
            if before.get(c.id) != after.get(c.id) and c.app_id in names
        }
