"""Figures of services, taken in the background, each by itself: one that hangs holds up neither a page nor another."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Hashable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from gitship.errors import GitshipError
from gitship.model.services import Service
from gitship.operations.operations import Operations
from gitship.operations.service_status import ServiceStatus
from gitship.store import Store
from gitship.web.live_updates import LiveUpdates

log = logging.getLogger(__name__)

FRESH_S = 5.0
WAIT_S = 1.0  # of a page, for services that usually answer by then
LOOK_S = 1.0  # for changes of what the store has, while somebody watches
KEPT_S = 60.0  # an older figure is none
THREADS = 8  # a service that hangs takes one, and never two


def topic(service: Service | str) -> str:
    """What ``LiveUpdates`` calls a service: no app has a blank in its name."""
    return f"service {service if isinstance(service, str) else service.name}"


@dataclass(frozen=True, slots=True)
class _Seen:
    """What pages show of a service but for its figures."""

    names: frozenset[str]  # whose pages show it
    looks: Hashable


class ServiceFigures:
    """Used on the event loop."""

    def __init__(self, store: Store, operations: Operations, live: LiveUpdates) -> None:
        self._store = store
        self._operations = operations
        self._live = live
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="web-services")
        self._found: dict[int, tuple[float, ServiceStatus]] = {}
        self._asking: dict[int, asyncio.Task[None]] = {}
        self._slow: set[int] = set()

    def of(self, service: Service) -> ServiceStatus:
        """The newest figures; its status is "" while that is not known."""
        at, found = self._found.get(service.id, (-math.inf, ServiceStatus("")))
        return found if time.monotonic() - at < KEPT_S else ServiceStatus("")

    async def fresh(self, services: Iterable[Service]) -> None:
        """Asks those whose figures are too old, and waits a moment for those that usually answer; never raises."""
        wanted = {service.id: service for service in services}
        now = time.monotonic()
        for service in wanted.values():
            if service.id not in self._asking and now - self._found.get(service.id, (-math.inf,))[0] > FRESH_S:
                self._asking[service.id] = asyncio.create_task(self._ask(service), name="web-service-figures")
        waited = {self._asking[i]: i for i in wanted if i in self._asking and i not in self._slow}
        if waited:
            _, late = await asyncio.wait(waited, timeout=WAIT_S)
            self._slow |= {waited[task] for task in late}

    async def watch(self) -> None:
        """Goes on asking while there are viewers, and tells them of the services that changed."""
        before = self._looks()
        while True:
            await asyncio.sleep(LOOK_S)
            if not self._live.watched:
                continue
            services = self._store.services()
            await self.fresh(services)
            self._forget({service.id for service in services})
            after = self._looks()
            changed = [i for i in before.keys() | after.keys() if before.get(i) != after.get(i)]
            if changed:
                seen = [looks[i].names for i in changed for looks in (before, after) if i in looks]
                self._live.changed(frozenset().union(*seen))
            before = after

    def stop(self) -> None:
        """Does not wait for a service that hangs: its thread ends with the time-out of what it asked."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _ask(self, service: Service) -> None:
        began = time.monotonic()
        try:
            status = await asyncio.get_running_loop().run_in_executor(
                self._threads, lambda: self._operations.services.status(service, deep=True)
            )
        except GitshipError as error:
            log.debug("figures of %s: %s", service.name, error.message)
            status = ServiceStatus("")
        except Exception:
            log.exception("figures of %s", service.name)
            status = ServiceStatus("")
        finally:
            self._asking.pop(service.id, None)
        self._found[service.id] = time.monotonic(), status
        if time.monotonic() - began < WAIT_S:
            self._slow.discard(service.id)

    def _forget(self, there: set[int]) -> None:
        self._found = {i: found for i, found in self._found.items() if i in there}
        self._slow &= there

    def _looks(self) -> Mapping[int, _Seen]:
        tasks = self._store.newest_service_tasks()
        apps = {app.id: app.name for app in self._store.apps()}
        links: dict[int, list[Hashable]] = {}
        names: dict[int, set[str]] = {}
        for link in self._store.service_links():
            links.setdefault(link.service_id, []).append((link.app_id, link.alias, link.state, link.read_only))
            names.setdefault(link.service_id, set()).add(apps.get(link.app_id, ""))
        found = {}
        for service in self._store.services():
            task = tasks.get(service.id)
            printed = self._operations.services.tasks.printed(task) if task else 0
            looks = (service, task, printed, tuple(links.get(service.id, ())), self.of(service).status)
            found[service.id] = _Seen(frozenset({topic(service), *names.get(service.id, ())}), looks)
        return found
