"""The deploy pipeline. ``Pipeline._deploy`` reads as the specification: what happens, in which order, what is undone.

Until the commit nothing that visitors see has changed for good: whatever fails before it leaves the old release there.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from gitship.appfiles import formation
from gitship.appfiles.manifest import Manifest
from gitship.appsettings import SKIP_CHECKS, STOPPED
from gitship.config import Settings
from gitship.containers.claims import Claims
from gitship.containers.container_starter import ContainerStarter
from gitship.containers.health_check import HealthChecker, unchecked
from gitship.deploy import announcement, data_warnings, output
from gitship.deploy.auto_rollback import AutoRollback
from gitship.deploy.canary import Canary
from gitship.deploy.failure import DeployFailure
from gitship.deploy.go_live import GoLive
from gitship.deploy.hooks import Hooks
from gitship.deploy.job import Job
from gitship.deploy.new_release import NewReleases
from gitship.deploy.release_command import ReleaseCommands
from gitship.deploy.rename import AppRename
from gitship.deploy.retire_images import retire_images
from gitship.deploy.rollout import Rollout
from gitship.deploy.warm_cache import CacheWarmer
from gitship.engine.addresses import Addresses
from gitship.engine.interface import Engine
from gitship.errors import DeployCanceled, DeployError, GitshipError
from gitship.front.front import Front
from gitship.git.repository import Repositories
from gitship.model import WEB, Container, DeployKind, DeployState
from gitship.routing import status_page_address
from gitship.routing.drain import CutConnections, Drainer, DrainLimits
from gitship.routing.switch import Switch, Switched, ensure_front, verify_path
from gitship.routing.urls import urls
from gitship.store import Store
from gitship.volumes.lifecycle import VolumeLifecycle

log = logging.getLogger("gitship.deploy")
DEFAULT_GRACE_S = 10.0
# A stopped app stays stopped through these; anything else that is deployed starts it again.
KEEPS_STOPPED = frozenset({DeployKind.CONFIG, DeployKind.SCALE, DeployKind.RENAME})
# What was built or taken in anew; a change of config or scale does not repeat what does not run.
BRINGS_A_RELEASE = frozenset({DeployKind.PUSH, DeployKind.PROMOTE, DeployKind.IMAGE})


class Pipeline:
    """Brings a job live, or leaves everything as it was."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        engine: Engine,
        front: Front,
        repositories: Repositories,
        addresses: Addresses,
        releasing: NewReleases,
        starter: ContainerStarter,
        drainer: Drainer,
        hooks: Hooks,
        volume_lifecycle: VolumeLifecycle,
        switch: Switch,
        canary: Canary,
        claims: Claims,
        probation: AutoRollback,
    ) -> None:
        self._settings = settings
        self._store = store
        self._engine = engine
        self._front = front
        self._releasing = releasing
        self._starter = starter
        self._drainer = drainer
        self._hooks = hooks
        self._volume_lifecycle = volume_lifecycle
        self._checker = HealthChecker(engine, settings.deploy.check_timeout)
        self._renaming = AppRename(settings, store, front, repositories)
        self._release_commands = ReleaseCommands(store, engine, addresses, starter.server_id)
        self._commit = GoLive(store, repositories, self._renaming)
        self._failure = DeployFailure(store, engine, repositories, self._renaming, hooks)
        self._warmer = CacheWarmer(settings, store, front)
        self._switch = switch
        self._canary = canary
        self._claims = claims
        self._probation = probation
        self.bring_services: Callable[[Rollout], None] = lambda rollout: None  # the room above sets it

    def run(self, job: Job) -> None:
        """Runs the job to its end. Never raises: what went wrong is in the deploy's record and output."""
        job.journal.update(started_at=time.time())
        if status_page_address.reachable(self._settings):
            app = job.app
            job.journal.detail(status_page_address.deploy_page(self._settings, self._store, app.name, job.deploy.id))
        try:
            self._deploy(job)
        except GitshipError as error:
            self._failure.end(job, error)
        except Exception:
            log.exception("deploy %d", job.deploy.id)
            where = f"the server's log has it under deploy {job.deploy.id}"
            self._failure.end(job, DeployError("internal error", where))

    def _deploy(self, job: Job) -> None:
        rollout = self._begin(job)
        self._hooks.before_build(rollout)
        rollout.candidate = self._releasing.candidate(rollout.app, job)
        job.journal.update(release_id=rollout.release.id)
        self._hooks.after_build(rollout)
        self._take_name(rollout)
        self.bring_services(rollout)
        self._store.note_release_links(rollout.release.id, rollout.app.id)
        self._release_commands.before_the_switch(rollout)
        with self._claims.held(rollout.app.id, given_up=job.cancel.is_set):
            switched = self._replace(rollout)
        self._leave_name(rollout)
        self._release_commands.after_the_switch(rollout)
        self._hooks.after_deploy(rollout)
        data_warnings.tell(self._engine, rollout)
        self._answer(rollout)
        self._probation.begin(rollout)
        self._drain(rollout, switched)

    def _replace(self, rollout: Rollout) -> Switched:
        """New containers take the place of the old ones, which nobody repairs meanwhile."""
        self._start(rollout)
        with on_error(lambda: self._end_new(rollout)):
            with on_error(lambda: data_warnings.tell_closed(self._engine, rollout)):
                self._check(rollout)
            self._hooks.before_switch(rollout)
            self._warmer.before_the_switch(rollout)
            self._canary.run(rollout)
        with self._front.holding(rollout.app.id):  # no command changes what Varnish does until the store is right again
            with on_error(lambda: self._end_new(rollout)), on_error(lambda: self._canary.abort(rollout)):
                switched = self._load_and_label(rollout)
            with on_error(lambda: self._switch_back(rollout, switched)):
                self._verify(rollout, switched)
                self._commit.make(rollout)
            self._tell_switched(rollout)
            self._canary.promoted(rollout)
        return switched

    def _take_name(self, rollout: Rollout) -> None:
        """An app that is renamed runs under its new name from here on; the old containers serve under the old one."""
        if rollout.job.request.new_name:
            rollout.app = self._renaming.begin(rollout.app, rollout.job.request.new_name)

    def _leave_name(self, rollout: Rollout) -> None:
        """The old name's host leads nowhere any more; what is in flight there is drained with the rest."""
        if rollout.job.request.new_name:
            rollout.left_vcls = self._renaming.end(rollout.before)

    def _begin(self, job: Job) -> Rollout:
        app = job.confirm(self._store)  # it may have waited for long
        if job.request.withdrawal is not None and app.live_release != job.request.withdrawal.release_id:
            raise DeployCanceled("another release has gone live in the meantime")
        self._engine.ping()
        ensure_front(self._front)
        previous = self._store.release(app.live_release) if app.live_release else None
        expected = self._commit.expected_ref(app, job)
        if job.deploy.ref and not job.request.ref_moved:
            job.journal.update(old=expected)
        stopped = job.kind is DeployKind.STOP or (
            job.kind in KEEPS_STOPPED and self._store.setting(app.id, STOPPED) is True
        )
        return Rollout(app, app, job, previous, expected, stopped)

    def _start(self, rollout: Rollout) -> None:
        job = rollout.job
        scale = {**self._store.scale(rollout.app.id), **job.request.scale}
        rollout.running = tuple(self._store.containers(rollout.app.id))  # some may have been repaired during the build
        change = formation.adjust if job.kind is DeployKind.SCALE else formation.replace_all
        if rollout.stopped:
            change = formation.end_all
        rollout.formation = change(rollout.release, rollout.running, scale)
        if rollout.formation.start:
            self._start_new(rollout)
        if job.kind in BRINGS_A_RELEASE:
            for line in announcement.idle(rollout, scale):
                job.journal.detail(line)

    def _start_new(self, rollout: Rollout) -> None:
        job = rollout.job
        with job.journal.stage(DeployState.STARTING, f"Starting {rollout.formation.summary}"):
            rollout.new = self._starter.start(
                rollout.app, rollout.release, rollout.formation.start, job.deploy.id, job.cancel, job.request.settings
            )

    def _check(self, rollout: Rollout) -> None:
        if not rollout.new:
            return
        job = rollout.job
        with job.journal.stage(DeployState.CHECKING, "Checking") as stage:
            wanted = [(c, p) for c in rollout.new if (p := rollout.release.process(c.process)) is not None]
            rollout.skipped = self._store.setting(rollout.app.id, SKIP_CHECKS) is not None
            if rollout.skipped:
                wanted = [(c, unchecked(p)) for c, p in wanted]
            host = f"{rollout.app.name}.{self._settings.domain}"
            web = rollout.release.process(WEB)
            passed = self._checker.wait_ready(
                wanted, rollout.app.name, host, job.cancel, stage, web.port if web else None
            )
            stage.text = f"{'Checks skipped' if rollout.skipped else 'Healthy'}: {', '.join(passed)}"

    def _load_and_label(self, rollout: Rollout) -> Switched:
        if rollout.job.cancel.is_set():
            raise DeployCanceled("canceled before the switch")
        rollout.job.journal.update(state=DeployState.SWITCHING)
        rollout.switch_began = time.monotonic()
        rollout.left_behind = self._switch.left_behind(rollout.app, rollout.previous, rollout.release)
        switched = self._switch.to(
            rollout.app, rollout.release, rollout.wanted, stopped=rollout.stopped, before=rollout.left_behind
        )
        if rollout.job.request.new_name:
            self._renaming.route()
        return switched

    def _verify(self, rollout: Rollout, switched: Switched) -> None:
        with rollout.job.journal.stage(DeployState.SWITCHING, "Switching", rollout.switch_began) as stage:
            try:
                self._switch.verify(rollout.app, switched, verify_path(rollout.release), cancel=rollout.job.cancel)
            except DeployCanceled:
                raise
            except DeployError as error:
                raise self._checker.refusal(rollout.new, rollout.app.name) or error from None
            stage.text = ""  # ``_tell_switched`` says it, once it is true for good

    def _tell_switched(self, rollout: Rollout) -> None:
        text = announcement.switched(rollout)
        rollout.job.journal.line(output.headline(text, time.monotonic() - rollout.switch_began))

    def _end_new(self, rollout: Rollout) -> None:
        """The new containers end: at once, or when what a canary's visitors have asked of them is answered."""
        if rollout.tried:
            self._drain_new(rollout, rollout.tried_vcls)
        else:
            self._starter.remove(rollout.app, rollout.new)

    def _switch_back(self, rollout: Rollout, switched: Switched) -> None:
        """Visitors return to the old release; requests that reached the new one are still answered by it."""
        self._switch.back(rollout.app, switched)
        self._canary.abort(rollout)
        self._drain_new(rollout, [switched.new, *rollout.tried_vcls])

    def _drain_new(self, rollout: Rollout, vcls: Sequence[str]) -> None:
        ending = [(container, self._grace(rollout, container)) for container in rollout.new]
        self._drainer.start(rollout.app, vcls, ending, self._limits(rollout), lambda cut: None)

    def _answer(self, rollout: Rollout) -> None:
        job = rollout.job
        url = urls(self._store, self._settings, rollout.app, self._front.address.port)[0]
        job.journal.line(announcement.result(rollout, url, time.monotonic() - job.journal.began))
        job.journal.answer()

    def _drain(self, rollout: Rollout, switched: Switched) -> None:
        journal, app = rollout.job.journal, rollout.app
        began, started_at = time.monotonic(), time.time()

        def drained(cut: CutConnections) -> None:
            if cut.requests:
                journal.detail(f"{cut.requests} requests were still open after the drain timeout and were cut")
            if cut.sockets:
                journal.detail(f"{cut.sockets} websockets were still open after their timeout and were closed")
            journal.finish(DeployState.LIVE, DeployState.DRAINING, started_at, time.monotonic() - began)
            retire_images(self._engine, self._store, app, self._settings.deploy.keep_releases)
            self._volume_lifecycle.clear(app)

        ending = [(container, self._grace(rollout, container)) for container in rollout.formation.end]
        vcls = [*rollout.left_vcls, *self._switch.before(switched, app)]
        self._drainer.start(app, vcls, ending, self._limits(rollout), drained)

    def _limits(self, rollout: Rollout) -> DrainLimits:
        own, server = rollout.manifest or Manifest(), self._settings.deploy
        requests_s = server.drain_timeout if own.drain_timeout_s is None else own.drain_timeout_s
        pause = self._front.pauses.of(rollout.before.slug)  # what waits since before the switch goes to the old release
        return DrainLimits(
            requests_s + (pause.left_s if pause else 0.0),
            server.socket_drain_timeout if own.socket_drain_timeout_s is None else own.socket_drain_timeout_s,
        )

    def _grace(self, rollout: Rollout, container: Container) -> float:
        """Seconds between SIGTERM and SIGKILL, as the container's own release says."""
        owner = rollout.release if container.release_id == rollout.release.id else rollout.previous
        process = owner.process(container.process) if owner else None
        return process.stop_timeout_s if process else DEFAULT_GRACE_S


@contextmanager
def on_error(undo: Callable[[], None]) -> Iterator[None]:
    """Runs ``undo`` when the block fails; the block's error is the one that goes on."""
    try:
        yield
    except BaseException:
        try:
            undo()
        except Exception:
            log.exception("undoing a failed deploy; the reconciler will finish it")
        raise
