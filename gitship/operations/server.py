"""All that can be done to apps on this server: the implementation behind ``Operations``."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from gitship.appfiles.canary_rules import CanaryPlan
from gitship.backup.create import Backups
from gitship.config import Settings
from gitship.deploy.auto_rollback import is_bad
from gitship.deploy.manifest_source import manifest_of
from gitship.deploy.new_release import with_changes
from gitship.deploy.queue import DeployQueue, Withdrawal
from gitship.deploy.rename import AppRename
from gitship.disk.free_space import FreeSpace
from gitship.engine.interface import Engine
from gitship.engine.types import LogLine
from gitship.errors import Conflict, NotFound
from gitship.events import Bus, Event
from gitship.front.front import Front
from gitship.git.repository import Repositories
from gitship.https.app_https import AppHttps
from gitship.model import GITSHIP, App, Deploy, DeployKind, Identity, Release, app_name
from gitship.notify.webhooks import WebhookNotifications
from gitship.observe.status_facts import ServerFacts
from gitship.observe.traffic import Stats
from gitship.oneoff.cron import Cron
from gitship.oneoff.programs import Programs
from gitship.operations.canaries import Canaries
from gitship.operations.cleanup import Cleanup
from gitship.operations.clone import Cloning
from gitship.operations.jobs import Jobs
from gitship.operations.lifecycle import Lifecycle
from gitship.operations.processes import Looking, ProcessStatus
from gitship.operations.registries import Registries
from gitship.operations.serving import Serving
from gitship.operations.sign_ins import SignIns
from gitship.operations.sources import Sources
from gitship.operations.storage import Storage
from gitship.operations.tuning import Tuning
from gitship.reconcile.destroy_app import AppDestruction
from gitship.reconcile.reconciler import Reconciling
from gitship.routing import hostnames, switch, urls
from gitship.routing.gate_settings import Gates
from gitship.routing.pause import AppPauses
from gitship.store import Store
from gitship.store.app_lock import DESTROYING, ensure_unlocked
from gitship.volumes.lifecycle import VolumeLifecycle

CLEAR_TIMEOUT_S = 60.0

log = logging.getLogger("gitship.deploy")


class ServerOperations:
    """Every method is safe from any thread; what deploys goes through the queue."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        bus: Bus,
        engine: Engine,
        front: Front,
        repositories: Repositories,
        queue: DeployQueue,
        destroying: AppDestruction,
        programs: Programs,
        gates: Gates,
        cron: Cron,
        notifications: WebhookNotifications,
        keeper: VolumeLifecycle,
        looking: Looking,
        serving: Serving,
        stats: Stats,
        canaries: Canaries,
        pauses: AppPauses,
        https: AppHttps,
        sign_ins: SignIns,
        reconciling: Reconciling,
        backups: Backups,
        room: FreeSpace,
    ) -> None:
        self.backups = backups
        self.room = room
        self.cleanup = Cleanup(settings, store, engine, repositories)
        self.canaries = canaries
        self.https = https
        self.gates = gates
        self.cron = cron
        self.notifications = notifications
        self.serving = serving
        self.stats = stats
        self.pauses = pauses
        self.programs = programs
        self._settings = settings
        self._store = store
        self._bus = bus
        self._engine = engine
        self._front = front
        self._repositories = repositories
        self._destroying = destroying
        self._queue = queue
        self._looking = looking
        self._jobs = Jobs(settings, store, bus, queue)
        self.sign_ins = sign_ins
        self.facts = ServerFacts(engine, front, repositories, store.server_id())
        self.reconciling = reconciling
        self._renaming = AppRename(settings, store, front, repositories)
        self.lifecycle = Lifecycle(store, repositories, self._renaming, self._deploy)
        self.sources = Sources(settings, store, repositories, self.pushing, self._deploy)
        self.cloning = Cloning(store, repositories, self._renaming, self._deploy, self._publish)
        self.registries = Registries(store, engine)
        self.tuning = Tuning(
            settings, store, engine, lambda app, release: manifest_of(store, repositories, app, release), self._set
        )

        self.storage = Storage(settings.data_dir, store, engine.volumes, keeper, self._set)

    # -- apps

    def create_app(self, name: str, by: Identity) -> App:
        app_name(name)
        with self._store.acting_for_all(by):
            self._renaming.ensure_free(name)
            app = self._store.create_app(name, by.key_id)
            # in here: a server that is killed, or has no room, leaves no app without a repository
            self._repositories.remove(name)  # of a clone that was cut short
            self._repositories.create(name)
        self._publish(app)
        return app

    @contextmanager
    def pushing(self, app: App, by: Identity) -> Iterator[None]:
        """While a push changes the app's repository, which has the app's name: nobody takes app, name or right away.

        Raises NotFound, NoPermission, or Conflict when it is being destroyed or was renamed.
        """
        with self._store.acting(app, by):
            self.ensure_named(app, by)
            yield

    def ensure_named(self, app: App, by: Identity) -> None:
        """Its repository is still found by its name. Raises NotFound, NoPermission or Conflict when it isn't."""
        now = self._store.confirm(app, by)
        if self._store.setting(now.id, DESTROYING) is not None:
            raise Conflict(f"{now.name} is being destroyed", "see `apps:list`: its name is free once it is deleted")
        if now.name != app.name:
            raise Conflict(f"{app.name} was renamed to {now.name}", "use it under its new name")

    def mend_repository(self, app: App) -> None:
        """One that somebody took off the disk is there again, empty: whoever pushes has all that it needs."""
        if self._repositories.has(app.name):  # as at nearly every push, which need not wait for who writes
            return
        with self._store.transaction():  # no rename meanwhile
            now = self._store.app_by_id(app.id)
            if self._store.setting(app.id, DESTROYING) is None and not self._repositories.has(now.name):
                log.warning("%s: its repository was gone; the push makes it anew", now.name)
                self._repositories.create(now.name)

    def destroy_app(self, app: App, by: Identity) -> None:
        self._destroying.destroy(app, by)

    def discard_app(self, app: App) -> bool:
        """Takes back an app that a push made and did not deploy. False when somebody has taken it up meanwhile."""
        return self._destroying.discard(app)

    # -- what makes a deploy

    def push(
        self,
        app: App,
        ref: str,
        old: str | None,
        new: str,
        by: Identity,
        *,
        no_cache: bool = False,
        canary: CanaryPlan | None = None,
        skip_canary: bool = False,
        moved: bool = False,
    ) -> Deploy:
        """Queues the deploy of a pushed commit; ``moved``: git itself has moved the ref already."""
        job = self._jobs.make(app, DeployKind.PUSH, by, cause=f"push {new[:7]}", commit=new, ref=ref, old=old)
        job.no_cache, job.ref_moved = no_cache, moved
        job.canary, job.skip_canary = canary, skip_canary
        return self._jobs.submit(job)

    def deploy_pushed(self, app: App, ref: str, old: str, new: str, by: Identity) -> Deploy | None:
        found = self._store.confirm(app, by)
        branch = found.deploy_branch or ref.removeprefix("refs/heads/")
        zero = "0" * 40
        if ref != f"refs/heads/{branch}" or new == zero:
            return None
        before = None if old == zero else old
        try:
            return self.push(found, ref, before, new, by, moved=True)
        except Conflict:  # locked: git has moved the ref already
            self._repositories.open(found.name).compare_and_set(ref, new, before)
            raise

    def change_config(
        self, app: App, changes: Mapping[str, str | None], by: Identity, *, restart: bool = True
    ) -> Deploy | None:
        found = self._store.confirm(app, by)
        ensure_unlocked(self._store, found)
        if not restart or found.live_release is None or self.lifecycle.stopped(found):
            with self._store.acting(app, by):
                self._store.replace_config(found.id, with_changes(self._store.config(found.id), changes))
            return None
        config = self._store.config(found.id)
        changed = dict(changes)
        if self._queue.running(found.id) is None:  # a deploy under way may be changing the very same names
            changed = {n: v for n, v in changes.items() if config.get(n) != v}
        if not changed:
            return None
        job = self._jobs.make(found, DeployKind.CONFIG, by, cause=f"config {', '.join(sorted(changed))}")
        job.config = changed
        return self._jobs.submit(job)

    def scale(self, app: App, quantities: Mapping[str, int], by: Identity) -> Deploy | None:
        found = self._store.confirm(app, by)
        ensure_unlocked(self._store, found)
        if found.live_release is None or self.lifecycle.stopped(found):
            with self._store.acting(app, by):
                self._store.set_scale(found.id, quantities)
            return None
        known = {p.type for p in self._store.release(found.live_release).processes}
        for type_ in quantities:
            if type_ not in known:
                raise NotFound(f"{found.name} has no process '{type_}'", f"it has: {', '.join(sorted(known))}")
        cause = "scale " + " ".join(f"{t}={n}" for t, n in quantities.items())
        job = self._jobs.make(found, DeployKind.SCALE, by, cause=cause)
        job.scale = dict(quantities)
        return self._jobs.submit(job)

    def restart(self, app: App, by: Identity) -> Deploy:
        found = self._store.confirm_live(app, by)
        return self._jobs.submit(self._jobs.make(found, DeployKind.RESTART, by, cause="restart"))

    def rollback(self, app: App, number: int | None, by: Identity) -> Deploy:
        found = self._store.confirm_live(app, by)
        live = self._store.release(found.live_release or 0)
        if number is None:
            good = [r for r in self._store.good_releases(found.id) if r.number < live.number]
            good = [r for r in good if not is_bad(self._store, found.id, r.number)]
            if not good:
                raise NotFound(f"{found.name} has no release before {live.label} to go back to", "see `releases:list`")
            target = good[0]
        else:
            target = self._store.release_number(found.id, number)
            if target.id == live.id:
                raise Conflict(f"{target.label} is already live", "see `releases:list`")
        job = self._jobs.make(found, DeployKind.ROLLBACK, by, cause=f"rollback to {target.label}", commit=target.commit)
        job.release_id = target.id
        return self._jobs.submit(job)

    def roll_back(self, app: App, target: Release, withdrawal: Withdrawal, cause: str) -> Deploy:
        """By itself, from a release that has turned out bad. Raises Conflict when the app is locked."""
        job = self._jobs.make(app, DeployKind.ROLLBACK, GITSHIP, cause=cause, commit=target.commit)
        job.release_id, job.withdrawal = target.id, withdrawal
        return self._jobs.submit(job)

    def cancel(self, app: App, by: Identity) -> Deploy:
        found = self._store.confirm(app, by)
        job = self._queue.cancel(found.id)
        if job is None:
            raise NotFound(f"{found.name} has no deploy that can be canceled", "see `deploys:list`")
        job.journal.answered.wait(CLEAR_TIMEOUT_S)
        return self._store.deploy(job.deploy.id)

    # -- domains

    def add_domain(self, app: App, domain: str, by: Identity) -> None:
        with self._store.acting(app, by) as found:  # no app gets that name meanwhile
            hostnames.ensure_addable(self._store, self._settings, found, domain)
            self._store.add_domain(found.id, domain)
        self.publish_hosts()
        self._bus.publish(Event("app", found.name))

    def remove_domain(self, app: App, domain: str, by: Identity) -> None:
        with self._store.acting(app, by) as found:
            self._store.remove_domain(found.id, domain)
        self.publish_hosts()
        self._bus.publish(Event("app", found.name))

    def publish_hosts(self) -> None:
        """Tells Varnish which host leads to which app."""
        self._front.bring_hosts(self._hosts)

    def urls(self, app: App) -> list[str]:
        return urls.urls(self._store, self._settings, app, self._front.address.port)

    # -- looking

    def follow(self, deploy: Deploy, write: Callable[[str], None], gone: threading.Event) -> Deploy:
        return self._jobs.follow(deploy, write, gone)

    def processes(self, app: App) -> list[ProcessStatus]:
        return self._looking.processes(app)

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
        return self._looking.logs(
            app, process=process, tail=tail, since=since, follow=follow, stop=stop, matches=matches, release=release
        )

    # -- within

    def _deploy(
        self, app: App, kind: DeployKind, by: Identity, *, cause: str, commit: str | None = None,
        ref: str | None = None, old: str | None = None, new_name: str | None = None, no_cache: bool = False,
        release_id: int | None = None, source: App | None = None, image: str = "", pull: bool = False,
    ) -> Deploy:  # fmt: skip
        job = self._jobs.make(app, kind, by, cause=cause, commit=commit, ref=ref, old=old)
        job.new_name, job.no_cache = new_name, no_cache
        job.release_id, job.source = release_id, source
        job.image, job.pull = image, pull
        return self._jobs.submit(job)

    def _set(self, app: App, changes: Mapping[str, Any], by: Identity, *, cause: str) -> Deploy:
        job = self._jobs.make(app, DeployKind.CONFIG, by, cause=cause)
        job.settings = dict(changes)
        return self._jobs.submit(job)

    def _publish(self, app: App) -> None:
        """An app is new."""
        self.publish_hosts()
        self._bus.publish(Event("app", app.name))

    def _hosts(self) -> dict[str, str]:
        return switch.hosts(self._store, self._settings.domain, self._settings.web.domain)
