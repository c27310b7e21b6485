"""Reconciler: compares the store with Docker and Varnish, at start and regularly.

Idempotent. What is live is touched only when it is broken; what nobody wants is drained before it goes. Containers are
looked at every ``INTERVAL_S`` and right after Docker told of one; all else every ``WHOLE_S``, when Docker or Varnish
has come back, and soon again after something failed (see ``schedule``).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Protocol

from gitship.containers.discrepancies import Change, RepairAction
from gitship.deploy.rename import AppRename
from gitship.engine import types
from gitship.engine.addresses import Addresses
from gitship.engine.interface import Engine
from gitship.errors import Conflict, GitshipError
from gitship.front.front import Front
from gitship.oneoff.oneoffs import OneOffs
from gitship.per_app_errors import PerAppErrors
from gitship.reconcile.destroy_app import AppDestruction
from gitship.reconcile.interrupted_deploys import InterruptedDeploys
from gitship.reconcile.lost_addresses import LostAddresses
from gitship.reconcile.outages import Outages
from gitship.reconcile.problems import Problems
from gitship.reconcile.repair_containers import ContainerRepair
from gitship.reconcile.repair_routes import RouteRepair
from gitship.reconcile.schedule import ReconcileSchedule
from gitship.services.settle import ServiceRepair
from gitship.store import Store
from gitship.volumes.lifecycle import VolumeLifecycle

log = logging.getLogger("gitship.reconcile")
FRONT_INTERVAL_S = 1.0  # without Varnish every visitor is turned away; the question takes 0.1 ms
GATHER_S = 0.2  # after Docker told of something: a deploy makes several containers end at once
ALONE_S = 30.0
STOP_S = 10.0
VARNISH = "Varnish"
WEBSOCKETS = "haproxy for websockets"


class Reconciling(Protocol):
    """How the whole is looked at, and put right, by hand."""

    def reconcile(self) -> list[Change]:
        """Puts everything right that can be now; what was changed, in order.

        Raises GitshipError at the end when something was in the way; the server's log has what was changed.
        """
        ...

    def look(self) -> list[Change]:
        """What ``reconcile`` would change. Raises GitshipError while Docker or Varnish does not answer."""
        ...


class Reconciler:
    """Owns the thread ``reconcile``."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        front: Front,
        addresses: Addresses,
        interrupted: InterruptedDeploys,
        renaming: AppRename,
        destroying: AppDestruction,
        repair: ContainerRepair,
        one_offs: OneOffs,
        volume_lifecycle: VolumeLifecycle,
        services: ServiceRepair,
        outages: Outages,
        routes: RouteRepair,
        lost: LostAddresses,
        apart: PerAppErrors,
        troubles: Problems,
    ) -> None:
        """``apart`` is what the parts of a round share that look after containers."""
        self._store = store
        self._engine = engine
        self._front = front
        self._addresses = addresses
        self._interrupted = interrupted
        self._renaming = renaming
        self._destroying = destroying
        self._repair = repair
        self._one_offs = one_offs
        self._volume_lifecycle = volume_lifecycle
        self._services = services
        self._outages = outages
        self._routes = routes
        self._lost = lost
        self._apart = apart
        self._troubles = troubles
        self._labels = {types.LABEL_SERVER: store.server_id()}
        self._one_at_a_time = threading.Lock()
        self._awake = threading.Event()
        self._stopping = threading.Event()
        self._rounds = ReconcileSchedule()
        self._thread = threading.Thread(target=self._loop, name="reconcile", daemon=True)

    def start(self) -> None:
        """Settles what an earlier gitship left behind, brings Varnish to the store's state, then goes on looking.

        Raises FrontError when Varnish can't be started; a Docker that is down is only logged.
        """
        self._interrupted.settle()
        self._renaming.settle()
        self._front.ensure_running()
        # First, before anybody is served wrongly: also ends a canary that gitship was killed in.
        _logged(self._routes.load)
        self._told(self._whole_logged())
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._awake.set()
        if self._thread.is_alive():
            self._thread.join(STOP_S)

    def wake(self, *, whole: bool) -> None:
        """Something has happened: to a container, or (``whole``) Docker has come back."""
        if whole:
            self._rounds.ask_whole()
        self._awake.set()

    # -- one round

    def reconcile(self) -> list[Change]:
        """See ``Reconciling``."""
        unmended: list[GitshipError] = []
        changes, errors = self._whole(unmended)
        self._told(changes)
        if failed := [*errors, *unmended]:
            raise GitshipError("; ".join(dict.fromkeys(e.message for e in failed)), failed[0].hint)
        return changes

    def look(self) -> list[Change]:
        """See ``Reconciling``."""
        with self._alone():
            states = self._engine.list(self._labels)
            changes = [] if self._front.alive() else [Change("", RepairAction.START, VARNISH, "it does not run")]
            if not self._front.takes_websockets():
                changes.append(Change("", RepairAction.START, WEBSOCKETS, "it does not run"))
            changes += self._destroying.amiss()
            changes += self._one_offs.amiss(states)
            changes += self._repair.amiss(states)
            changes += self._volume_lifecycle.amiss(states)
            changes += self._services.amiss(states)
            if self._front.alive():
                self._outages.look(self._store.containers(), states)
                changes += self._routes.amiss()
            return changes + [_network(name) for name in self._addresses.orphans()]

    def _whole(self, unmended: list[GitshipError]) -> tuple[list[Change], list[GitshipError]]:
        """Every step, whatever became of those before it; ``unmended`` is for what is logged and tried again anyway."""
        changes: list[Change] = []
        errors: list[GitshipError] = []
        unrouted: list[GitshipError] = []
        with self._alone():
            self._rounds.begun_whole()
            containers = partial(self._containers, unmended)
            for step in (self._varnish, containers, partial(self._routes.settle, unrouted), self._networks):
                try:
                    changes += step()
                except GitshipError as error:
                    errors.append(error)
                except Exception as error:
                    log.exception("reconciling")
                    errors.append(GitshipError(f"internal error: {error!r:.200}", "the server's log has it"))
            _logged(self._troubles.write)
        unmended += unrouted
        self._rounds.failed() if errors or unrouted else self._rounds.succeeded()
        return changes, errors

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One round at a time. Raises Conflict."""
        if not self._one_at_a_time.acquire(timeout=ALONE_S):
            raise Conflict("a reconciliation is already running, held up by Docker or Varnish", "try again in a moment")
        try:
            yield
        finally:
            self._one_at_a_time.release()

    def _varnish(self) -> list[Change]:
        changes = (
            [Change("", RepairAction.START, WEBSOCKETS, "it was missing")] if self._front.bring_websockets() else []
        )
        if self._front.alive():
            return changes
        self._front.ensure_running()
        self._rounds.ask_whole()
        return [*changes, Change("", RepairAction.START, VARNISH, "it was missing")]

    def _containers(self, unmended: list[GitshipError]) -> list[Change]:
        with self._apart.round():
            changes = self._destroying.settle(unmended)
            states = self._engine.list(self._labels)
            changes += self._one_offs.settle(states, unmended)
            changes += self._repair.settle(states, unmended)
            changes += self._volume_lifecycle.settle(states, unmended)
            changes += self._services.settle(states, unmended)
            self._outages.look(self._store.containers(), states)
            self._lost.settle(unmended)
        return changes

    def _networks(self) -> list[Change]:
        return [_network(name) for name in self._addresses.remove_orphans()]

    # -- the thread

    def _loop(self) -> None:
        while not self._stopping.is_set():
            self._rest()
            if self._stopping.wait(GATHER_S):
                return
            try:
                self._told(self._round())
            except GitshipError as error:
                log.warning("%s", error.message)
            except Exception:
                log.exception("reconciling")

    def _rest(self) -> None:
        """Until it's time to look, something happened, or Varnish or the websockets' proxy has gone; one that can't
        start waits its time.
        """
        rest_s = min(self._rounds.rest_s(soon=bool(self._outages.out())), self._repair.next_s())
        end = time.monotonic() + rest_s
        served, sockets = self._front.alive(), self._front.takes_websockets()
        while (left := end - time.monotonic()) > 0 and not self._awake.wait(min(left, FRONT_INTERVAL_S)):
            if (served and not self._front.alive()) or (sockets and not self._front.takes_websockets()):
                break
        self._awake.clear()

    def _round(self) -> list[Change]:
        if self._rounds.whole:
            return self._whole_logged()
        errors: list[GitshipError] = []
        with self._alone():
            changes = _logged(self._varnish) + _logged(partial(self._containers, []))
            if changed := self._outages.changed() | self._routes.left:
                apps = [app for app in self._store.apps() if app.id in changed]
                changes += _logged(lambda: self._routes.of(apps, errors))
        if errors:
            self._rounds.failed()
        return changes + (self._whole_logged() if self._rounds.whole else [])

    def _whole_logged(self) -> list[Change]:
        changes, errors = self._whole([])
        for error in errors:
            log.warning("%s", error.message)
        return changes

    def _told(self, changes: list[Change]) -> None:
        for change in changes:
            log.warning("%s", change.text)


def _logged(step: Callable[[], list[Change] | None]) -> list[Change]:
    try:
        return step() or []
    except GitshipError as error:
        log.warning("%s", error.message)
    except Exception:
        log.exception("reconciling")
    return []


def _network(name: str) -> Change:
    return Change("", RepairAction.REMOVE, f"network {name}", "its app is gone")
