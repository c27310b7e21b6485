"""From what the store wants to what Docker and Varnish have: at start, and again and again while gitship runs.

Idempotent. What is live is touched only when it is broken; what nobody wants is drained before it goes.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time

from gitship.config import Settings
from gitship.deploy.claims import Claims
from gitship.deploy.destroying import Destroying
from gitship.deploy.drain import Drainer
from gitship.deploy.keeper import Keeper
from gitship.deploy.lock import DESTROYING
from gitship.deploy.oneoffs import OneOffs
from gitship.deploy.queue import DeployQueue
from gitship.deploy.renaming import Renaming
from gitship.deploy.repair import Repair, is_process
from gitship.deploy.start import Starter
from gitship.deploy.statusfront import status_front
from gitship.deploy.switch import hosts
from gitship.deploy.wanted import Wanted
from gitship.deploy.watch import Watcher
from gitship.engine import values
from gitship.engine.base import Engine
from gitship.errors import GitshipError
from gitship.front.front import Front
from gitship.git.repository import Repositories
from gitship.model import Deploy, DeployState
from gitship.store import Store

log = logging.getLogger("gitship.reconcile")
INTERVAL_S = 10.0
FRONT_INTERVAL_S = 1.0  # without Varnish every visitor is turned away; the question takes 0.1 ms


class Reconciler:
    """Owns one thread that looks every ``INTERVAL_S``, at Varnish every ``FRONT_INTERVAL_S``."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        engine: Engine,
        front: Front,
        repositories: Repositories,
        starter: Starter,
        drainer: Drainer,
        queue: DeployQueue,
        one_offs: OneOffs,
        keeper: Keeper,
        watcher: Watcher,
        destroying: Destroying,
        claims: Claims,
    ) -> None:
        self._one_offs = one_offs
        self._keeper = keeper
        self._destroying = destroying
        self._repair = Repair(settings, store, engine, front, starter, drainer, queue, watcher, claims)
        self._settings = settings
        self._store = store
        self._engine = engine
        self._front = front
        self._repositories = repositories
        self._renaming = Renaming(settings, store, front, repositories)
        self._wanted = Wanted(store, settings.domain)
        self._server_id = store.server_id()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="reconcile", daemon=True)

    def start(self) -> None:
        """Settles what an earlier gitship left behind, brings Varnish to the store's state, then goes on looking.

        Raises FrontError when Varnish can't be started; a Docker that is down is only logged.
        """
        self._settle_deploys()
        self._renaming.settle()
        self._front.ensure_running()
        self.reconcile()
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(INTERVAL_S)

    def reconcile(self) -> list[str]:
        """One round; what it changed, a sentence each. Never raises: what can't be done now is tried the next time."""
        changes: list[str] = []
        try:
            self._routes()  # first: a canary that gitship was killed in still has visitors, and is ended below
        except GitshipError as error:
            log.warning("%s", error.message)
        try:
            changes += self._containers()
        except GitshipError as error:
            log.warning("%s", error.message)
        for change in changes:
            log.info("%s", change)
        return changes

    def _loop(self) -> None:
        look_at_front, look_at_all = 0.0, time.monotonic() + INTERVAL_S
        while not self._stop.wait(FRONT_INTERVAL_S):
            try:
                if time.monotonic() >= look_at_front:
                    look_at_front = time.monotonic() + INTERVAL_S  # until the next try, when this one fails
                    self._ensure_front()
                    look_at_front = 0.0
                if time.monotonic() >= look_at_all:
                    look_at_all = time.monotonic() + INTERVAL_S
                    for change in self._containers():
                        log.warning("%s", change)
            except GitshipError as error:
                log.warning("%s", error.message)
            except Exception:
                log.exception("reconciling")

    def _ensure_front(self) -> None:
        if not self._front.alive():
            log.warning("Varnish is gone; starting it again")
            self._front.ensure_running()

    # -- interrupted deploys

    def _settle_deploys(self) -> None:
        """Ends the record of every deploy that was under way with the truth: switched means live, else it failed."""
        for deploy in self._store.unfinished_deploys():
            if deploy.state.switched:
                self._end(deploy, DeployState.LIVE)
                continue
            self._take_ref_back(deploy)
            self._end(
                deploy,
                DeployState.FAILED,
                f"gitship was stopped during '{deploy.state}'",
                "push again, or repeat the command",
            )

    def _take_ref_back(self, deploy: Deploy) -> None:
        """A ref that moved for a release that never became live returns, so that the next push tries again."""
        if deploy.ref and deploy.commit and deploy.commit != deploy.old:
            repository = self._repositories.open(self._store.app_by_id(deploy.app_id).name)
            if repository.ref(deploy.ref) == deploy.commit:
                repository.compare_and_set(deploy.ref, deploy.commit, deploy.old)

    def _end(self, deploy: Deploy, state: DeployState, reason: str = "", hint: str = "") -> None:
        failed_stage = deploy.state if state is DeployState.FAILED else None
        self._store.update_deploy(
            dataclasses.replace(
                deploy, state=state, reason=reason, hint=hint, failed_stage=failed_stage, finished_at=time.time()
            )
        )

    # -- containers

    def _containers(self) -> list[str]:
        """Live containers run under their own address; others of this server that no deploy owns are drained."""
        changes = self._destroying.settle()
        states = self._engine.list({values.LABEL_SERVER: self._server_id})
        changes += self._one_offs.settle([s for s in states if values.LABEL_ONE_OFF in s.labels])
        changes += [change.text for change in self._repair.settle(filter(is_process, states))]
        return changes + self._keeper.settle([s for s in states if values.LABEL_HELPER in s.labels])

    # -- routes

    def _routes(self) -> None:
        """Varnish leads exactly where the store says."""
        going = self._store.apps_with_setting(DESTROYING)
        fronts = [self._wanted.front(app) for app in self._store.apps() if app.id not in going]
        if (status := status_front(self._store.secret(), self._settings)) is not None:
            fronts.append(status)
        self._front.reload(fronts, hosts(self._store, self._settings.domain, self._settings.web.domain))
