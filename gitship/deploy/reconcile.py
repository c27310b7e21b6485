"""From what the store wants to what Docker and Varnish have: at start, and again and again while gitship runs.

Idempotent. What is live is touched only when it is broken; what nobody wants is drained before it goes.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time

from gitship.config import Settings
from gitship.deploy.drain import Drainer, Limits
from gitship.deploy.keeper import Keeper
from gitship.deploy.oneoffs import OneOffs
from gitship.deploy.queue import DeployQueue
from gitship.deploy.renaming import Renaming
from gitship.deploy.start import Starter
from gitship.deploy.statusfront import status_front
from gitship.deploy.switch import hosts
from gitship.deploy.wanted import Wanted
from gitship.deploy.watch import Watcher
from gitship.engine import values
from gitship.engine.base import Engine
from gitship.engine.values import ContainerState
from gitship.errors import GitshipError, NotFound
from gitship.front.front import Front
from gitship.git.repository import Repositories
from gitship.model import App, Container, Deploy, DeployState
from gitship.store import Store

log = logging.getLogger("gitship.reconcile")
INTERVAL_S = 10.0
ORPHAN_GRACE_S = 10.0
REPAIRED = 0  # the deploy id on containers made anew by the reconciler


class Reconciler:
    """Owns one thread that looks every ``INTERVAL_S``."""

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
    ) -> None:
        self._one_offs = one_offs
        self._keeper = keeper
        self._watcher = watcher
        self._settings = settings
        self._store = store
        self._engine = engine
        self._front = front
        self._repositories = repositories
        self._starter = starter
        self._drainer = drainer
        self._queue = queue
        self._renaming = Renaming(settings, store, front, repositories)
        self._wanted = Wanted(store, settings.domain)
        self._server_id = store.server_id()
        self._misled = False  # Varnish may lead elsewhere than the store says
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="reconcile", daemon=True)

    def start(self) -> None:
        """Settles what an earlier gitship left behind, brings Varnish to the store's state, then goes on looking.

        Raises FrontError when Varnish can't be started; a Docker that is down is only logged.
        """
        self._settle_deploys()
        self._renaming.settle()
        self._front.ensure_running()
        self._settle_addresses()
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
        while not self._stop.wait(INTERVAL_S):
            try:
                if not self._front.alive():
                    log.warning("Varnish is gone; starting it again")
                    self._misled = True
                    self._front.ensure_running()
                if self._misled and not any(self._queue.running(app.id) for app in self._store.apps()):
                    self._routes()  # it has what was on the disk: of a deploy that failed meanwhile, for instance
                    self._misled = False
                for change in self._containers():
                    log.warning("%s", change)
            except GitshipError as error:
                log.warning("%s", error.message)
            except Exception:
                log.exception("reconciling")

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

    def _settle_addresses(self) -> None:
        """A container that is gone has no address; without this each crash at the wrong moment costs one for ever."""
        try:
            there = {state.name for state in self._engine.list({values.LABEL_SERVER: self._server_id})}
        except GitshipError as error:
            log.warning("%s", error.message)
            return
        for app in self._store.apps():
            self._starter.settle(app, there | {container.name for container in self._store.containers(app.id)})

    # -- containers

    def _containers(self) -> list[str]:
        """Live containers run under their own address; others of this server that no deploy owns are drained."""
        actual: dict[str, list[ContainerState]] = {}
        one_offs: list[ContainerState] = []
        helpers: list[ContainerState] = []
        for state in self._engine.list({values.LABEL_SERVER: self._server_id}):
            if values.LABEL_ONE_OFF in state.labels:  # no deploy owns it, and nothing leads to it
                one_offs.append(state)
                continue
            if values.LABEL_HELPER in state.labels:
                helpers.append(state)
            elif values.LABEL_PROCESS in state.labels:  # else an app's image is run by hand: its labels are inherited
                actual.setdefault(state.labels.get(values.LABEL_APP_ID, ""), []).append(state)
        changes = self._one_offs.settle(one_offs)
        for app in self._store.apps():
            if self._queue.running(app.id) is None:
                changes += self._app(app, actual.pop(str(app.id), []))
            else:
                actual.pop(str(app.id), None)
        for state in (state for states in actual.values() for state in states):
            if not self._owned(state):
                self._engine.remove(state.id)
                changes.append(f"removed {state.name}, whose app is gone")
        return changes + self._keeper.settle(helpers)

    def _app(self, app: App, actual: list[ContainerState]) -> list[str]:
        changes: list[str] = []
        live = self._store.containers(app.id)
        present = {state.id: state for state in actual}
        repaired: dict[str, Container] = {}
        for container in live:
            state = present.get(container.id)
            try:
                if state is not None and state.status in ("exited", "created", "dead"):
                    self._engine.start(container.id)
                    changes.append(f"{app.name}: started {container.name}, which was {state.status}")
                if state is None or self._engine.inspect(container.id).address not in (container.address, ""):
                    repaired[container.id] = self._make_again(app, container)
                    changes.append(f"{app.name}: made {container.name} anew")
            except NotFound:
                repaired[container.id] = self._make_again(app, container)
                changes.append(f"{app.name}: made {container.name} anew")
            except GitshipError as error:
                changes.append(f"{app.name}: {container.name}: {error.message}")
        if repaired and app.live_release is not None:
            live = [repaired.get(c.id, c) for c in live]
            self._store.set_live(app.id, app.live_release, live)
            for container in repaired.values():
                self._watcher.restarted(container, "it was gone or had lost its address, and was made anew")
        wanted = {c.id for c in live}
        busy = self._drainer.draining()
        orphans = [s for s in actual if s.id not in wanted and s.id not in busy and not self._owned(s)]
        if orphans:
            self._drain(app, orphans)
            changes += [f"{app.name}: draining {s.name}, which nothing leads to" for s in orphans]
        return changes

    def _make_again(self, app: App, container: Container) -> Container:
        return self._starter.again(app, self._store.release(container.release_id), container, REPAIRED)

    def _owned(self, state: ContainerState) -> bool:
        """True while the deploy that made the container is under way."""
        try:
            deploy = self._store.deploy(int(state.labels.get(values.LABEL_DEPLOY, "0")))
        except (NotFound, ValueError):
            return False
        return not deploy.state.ended

    def _drain(self, app: App, orphans: list[ContainerState]) -> None:
        containers = [
            (Container(s.id, s.name, app.id, 0, s.labels.get(values.LABEL_PROCESS, ""), 0, "", None), ORPHAN_GRACE_S)
            for s in orphans
        ]
        vcls = self._front.unlabelled(app.slug)
        limits = Limits(self._settings.deploy.drain_timeout, self._settings.deploy.socket_drain_timeout)
        self._drainer.start(app, vcls, containers, limits, lambda cut: None)

    # -- routes

    def _routes(self) -> None:
        """Varnish leads exactly where the store says."""
        fronts = [self._wanted.front(app) for app in self._store.apps()]
        if (status := status_front(self._store.secret(), self._settings)) is not None:
            fronts.append(status)
        self._front.reload(fronts, hosts(self._store, self._settings.domain, self._settings.web.domain))
