"""What services should run, against what runs: at every start of gitship, each minute, and after Docker was away."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from contextlib import suppress

from gitship.containers.discrepancies import DOWN, Change, RepairAction
from gitship.engine import types
from gitship.engine.interface import Engine
from gitship.engine.types import ContainerState
from gitship.errors import Conflict, GitshipError
from gitship.model import GITSHIP
from gitship.model.services import Service, ServiceState
from gitship.ownership import number_in
from gitship.per_app_errors import PerAppErrors
from gitship.services.exposed_ports import ExposedPorts
from gitship.services.lifecycle import ServiceLifecycle
from gitship.services.links import ServiceLinks
from gitship.services.service_container import ServiceContainers, is_server
from gitship.services.superuser import SuperuserPasswords
from gitship.services.tasks import ServiceTasks, TaskJournal
from gitship.store import Store

log = logging.getLogger("gitship.services")
STARTS = frozenset({RepairAction.MAKE, RepairAction.START})
FIRST_S, LAST_S = 10.0, 600.0  # between two tries of what does not succeed
DROP_S = 20.0  # of a login, or of a look which password it has: meanwhile nothing else is looked at


class Tries:
    """Of something for a service each: the next FIRST_S after the first, then twice as long, at most LAST_S."""

    def __init__(self) -> None:
        self._done: dict[int, tuple[int, float]] = {}  # how often, and not before (monotonic)

    def due(self, service: Service) -> bool:
        """Whether it may be tried now; then this counts as a try."""
        count, not_before = self._done.get(service.id, (0, 0.0))
        if time.monotonic() < not_before:
            return False
        self._done[service.id] = count + 1, time.monotonic() + min(FIRST_S * 2**count, LAST_S)
        return True

    def over(self, service: Service) -> None:
        self._done.pop(service.id, None)


class ServiceRepair:
    """Leaves a service alone while a task of it runs. Safe from any thread."""

    def __init__(
        self, store: Store, engine: Engine, tasks: ServiceTasks, lifecycle: ServiceLifecycle,
        containers: ServiceContainers, links: ServiceLinks, superusers: SuperuserPasswords, ports: ExposedPorts,
        apart: PerAppErrors,
    ) -> None:  # fmt: skip
        self._store = store
        self._engine = engine
        self._tasks = tasks
        self._lifecycle = lifecycle
        self._containers = containers
        self._links = links
        self._superusers = superusers
        self._ports = ports
        self._apart = apart
        self._of_before = store.last_service_id()  # up to this they are of an earlier gitship
        self._starts, self._drops, self._passwords = Tries(), Tries(), Tries()

    def settle(self, states: Iterable[ContainerState], failed: list[GitshipError]) -> list[Change]:
        """``states`` are all containers. A server that has to be started is started by a task: it may take long.

        To ``failed`` is added what could not be put right, a service at a time.
        """
        of_service = _by_service(states)
        changes: list[Change] = []
        for service in self._store.services():
            found = of_service.pop(service.id, [])
            with self._apart.part("", f"service {service.name}", failed):
                wrong: list[Change] = []
                with self._tasks.idle(service) as mine:
                    if mine:
                        now = self._store.service(service.id)
                        wrong = self._wrong_now(now) if self._wrong(now, found) else []
                        changes += self._tidy(now, wrong)
                changes += self._repaired(service, wrong)
        for state in (state for left in of_service.values() for state in left):
            with self._apart.part("", f"container {state.name} of a deleted service", failed):
                self._engine.remove(state.id)
                changes.append(Change("", RepairAction.REMOVE, state.name, "its service is gone"))
        with self._apart.part("", "ports of services", failed):
            self._ports.sync()
        return changes

    def amiss(self, states: Iterable[ContainerState]) -> list[Change]:
        """What ``settle`` would do to containers now."""
        of_service = _by_service(states)
        changes = []
        for service in self._store.services():
            found = of_service.pop(service.id, [])
            if not self._tasks.running(service):
                changes += self._wrong(service, found)
        gone = [state for left in of_service.values() for state in left]
        return changes + [Change("", RepairAction.REMOVE, s.name, "its service is gone") for s in gone]

    def _tidy(self, service: Service, wrong: list[Change]) -> list[Change]:
        """What takes no time; what was done."""
        new = service.state is ServiceState.CREATING and service.id > self._of_before
        if new and not self._store.service_tasks(service.id):
            return []  # its task is just about to begin
        if service.state is not ServiceState.READY:  # gitship was killed while it was made, or removed
            self._lifecycle.remove(service)
            return [Change("", RepairAction.REMOVE, f"what is left of service {service.name}", "it was half made")]
        if any(change.action in STARTS for change in wrong):
            return []
        if wrong:
            self._containers.end_others(service, keep=service.container)
            self._containers.join_all(service)
        if not service.next_root_password:
            self._passwords.over(service)
        elif self._passwords.due(service):
            service = self._superusers.settle(service, DROP_S)
        for done in self._links.settle(service) + self._dropped(service):
            log.info("%s: %s", service.name, done)
        gone = self._lifecycle.clear(service)
        return wrong + [Change("", RepairAction.REMOVE, f"volume {v}", "it is not needed any more") for v in gone]

    def _repaired(self, service: Service, wrong: list[Change]) -> list[Change]:
        """Begins to start a server that does not run. One that does not start is tried again later and later."""
        starts = [change for change in wrong if change.action in STARTS]
        if not starts:
            self._starts.over(service)
            return []
        if not self._starts.due(service):
            return []

        def work(journal: TaskJournal) -> None:
            now = self._store.service(service.id)
            if any(change.action in STARTS for change in self._wrong_now(now)):
                self._lifecycle.restart(now, journal)

        with suppress(Conflict):  # somebody was faster
            self._tasks.begin(service, "repair", GITSHIP, work)
        return starts

    def _dropped(self, service: Service) -> list[str]:
        """Logins that were dropped. A server that hangs holds the round up for DROP_S, and later and later again."""
        if not self._store.service_logins(service_id=service.id):
            self._drops.over(service)
            return []
        return self._links.drop_logins(service, DROP_S) if self._drops.due(service) else []

    def _wrong_now(self, service: Service) -> list[Change]:
        """No task of it runs but the caller's: what was listed before may be of before one."""
        return self._wrong(service, self._containers.all(service))

    def _wrong(self, service: Service, found: list[ContainerState]) -> list[Change]:
        if service.state is not ServiceState.READY:
            return []
        changes = [
            Change("", RepairAction.REMOVE, state.name, f"it does not belong to {service.name} any more")
            for state in found
            if state.id != service.container
        ]
        own = next((state for state in found if state.id == service.container), None)
        if own is None:
            changes.append(Change("", RepairAction.MAKE, f"the container of service {service.name}", "it was missing"))
        elif own.status in DOWN:
            changes.append(Change("", RepairAction.START, own.name, f"it is {own.status}"))
        elif missing := self._unjoined(service, own):
            changes.append(Change("", RepairAction.RELOAD, own.name, f"it was not in {', '.join(missing)}"))
        return changes

    def _unjoined(self, service: Service, own: ContainerState) -> list[str]:
        """Networks of its apps in which it should be."""
        return [n for n in self._containers.networks(service) if n not in own.networks]


def _by_service(states: Iterable[ContainerState]) -> dict[int, list[ContainerState]]:
    """Those that are a service's by gitship's own word."""
    found: dict[int, list[ContainerState]] = {}
    for state in states:
        service_id = number_in(state.labels.get(types.LABEL_SERVICE_ID))
        if service_id is not None and is_server(state):
            found.setdefault(service_id, []).append(state)
    return found
