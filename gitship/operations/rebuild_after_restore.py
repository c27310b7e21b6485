"""Makes services again after a restore, and rebuilds every live app, since backups contain no images.

By the ordinary pipeline, from the commit of its live release with its config of now, as `ps:rebuild` does it; what came
from a registry is pulled again, by its digest, and once more after a while when that fails: the registry may be an app
that is only being built. What was promoted from another app is promoted again. The mark that a restore has left goes
when all of them have come to an end; a gitship that is killed meanwhile begins again with those that have no image yet.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from gitship.appsettings import LOCK, STOPPED
from gitship.backup.restore import RESTORED
from gitship.deploy.manifest_source import image_of
from gitship.errors import EngineError, GitshipError, NotFound
from gitship.model import App, Deploy, DeployKind, DeployState, Identity, Release, Role
from gitship.operations.operations import Operations
from gitship.operations.shared import Shared
from gitship.services.room import ServicesRoom
from gitship.services.server_dumps import revive
from gitship.volumes.lifecycle import VolumeLifecycle

log = logging.getLogger("gitship.restore_command")
BY = Identity("restore", Role.ADMIN)
LOOK_S = 1.0
PULL_AGAIN_S = (10.0, 30.0, 60.0, 300.0, 900.0)  # after each pull that failed


@dataclass(frozen=True, slots=True)
class Attempt:
    """``failed`` pulls so far; ``again_at`` (``time.monotonic``): when the next one begins, None while one goes on."""

    app_id: int
    deploy_id: int
    failed: int = 0
    again_at: float | None = None


class Revival:
    """Owns a thread while there is something to do."""

    def __init__(
        self, shared: Shared, volume_lifecycle: VolumeLifecycle, operations: Operations, services: ServicesRoom
    ) -> None:
        self._dumps, self._tasks = services.dumps, services.tasks
        self._store = shared.store
        self._engine = shared.engine
        self._volume_lifecycle = volume_lifecycle
        self._operations = operations
        self._promoted: list[App] = []  # they wait for the app that they come from
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="revival", daemon=True)

    def start(self) -> None:
        if self._store.server_setting(RESTORED) is not None or self._dumps.waiting():
            self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(10.0)

    def _run(self) -> None:
        revive(self._dumps, self._tasks, self._engine, self._stop, LOOK_S)  # first: apps need them at their start
        if self._store.server_setting(RESTORED) is None:
            return
        log.info("restored from a backup: building what was live")
        told = ""
        while not self._stop.is_set():
            self._promoted.clear()
            try:
                begun = [(app, self._begun(app)) for app in self._store.apps()]
                break
            except EngineError as error:  # Docker is not up yet
                if error.message != told:
                    told = error.message
                    log.warning("%s; what was live is built when it answers", error.message)
                self._stop.wait(LOOK_S)
        else:
            return
        waiting = [Attempt(app.id, deploy.id) for app, deploy in begun if deploy is not None]
        while waiting or self._promoted:
            if self._stop.wait(LOOK_S):
                return
            waiting = [going for attempt in waiting if (going := self._next(attempt)) is not None]
            waiting += self._promotions(last=not waiting)
        self._store.set_server_setting(RESTORED, None)
        log.info("everything that was live has been built again, or its log says why not")

    def _begun(self, app: App) -> Deploy | None:
        """As ``_begin``; what is wrong with one app alone is told, and holds up no other."""
        try:
            return self._begin(app)
        except EngineError:
            raise
        except Exception:
            log.exception("%s cannot be built again", app.name)
            return None

    def _begin(self, app: App) -> Deploy | None:
        """Its deploy, when it needs one. Raises EngineError while Docker does not answer."""
        self._make_volumes(app)
        if app.live_release is None or self._store.setting(app.id, STOPPED):
            return None
        release = self._store.release(app.live_release)
        try:
            self._engine.images.inspect(release.image_id)
            return None  # this machine has it: the reconciler makes the containers
        except NotFound:
            pass
        if release.commit is not None and self._store.release_manifest(release.id) is not None:
            self._promoted.append(app)
            return None
        return self._tried(app, release, lambda: self._again(app, release))

    def _promotions(self, *, last: bool) -> list[Attempt]:
        """Of those for which another app serves the same commit by now; ``last``: no other will any more."""
        waiting, self._promoted = self._promoted, []
        begun = []
        there = {app.id: app for app in self._store.apps()}
        for app in (there[app.id] for app in waiting if app.id in there):
            release = self._store.release(app.live_release or 0)
            if self._has(release.image_id):
                continue  # somebody has taken care of it
            again = self._promotion(app, release)
            if again is None and last:  # its own repository may have the commit, too
                again = partial(self._operations.ps.rebuild, app, BY)
            if again is None:
                self._promoted.append(app)
                continue
            try:
                deploy = self._tried(app, release, again)
            except EngineError:  # Docker is away: later
                self._promoted.append(app)
                continue
            if deploy is not None:
                begun.append(Attempt(app.id, deploy.id))
        return begun

    def _promotion(self, app: App, release: Release) -> Callable[[], Deploy] | None:
        for other in self._store.apps():
            if other.id == app.id or other.live_release is None:
                continue
            theirs = self._store.release(other.live_release)
            if theirs.commit == release.commit and self._has(theirs.image_id):
                return partial(self._operations.releases.promote, other, app, None, BY)
        return None

    def _has(self, image_id: str) -> bool:
        try:
            self._engine.images.inspect(image_id)
        except GitshipError:  # Docker may be away just now, too
            return False
        return True

    def _tried(self, app: App, release: Release, again: Callable[[], Deploy]) -> Deploy | None:
        try:
            return self._unlocked(app, again)
        except EngineError:
            raise
        except GitshipError as error:
            log.warning("%s: %s cannot be built again: %s (%s)", app.name, release.label, error.message, error.hint)
            return None

    def _again(self, app: App, release: Release) -> Deploy:
        image = image_of(self._store, release)
        if image is not None:
            return self._operations.git.image(app, image, BY, pull=True)
        return self._operations.ps.rebuild(app, BY)

    def _unlocked(self, app: App, deploy: Callable[[], Deploy]) -> Deploy:
        """A lock keeps changes away; that its release serves again is none."""
        with self._store.transaction():
            held = self._store.setting(app.id, LOCK)
            self._store.set_setting(app.id, LOCK, None)
            try:
                return deploy()
            finally:
                self._store.set_setting(app.id, LOCK, held)

    def _make_volumes(self, app: App) -> None:
        """Volumes whose content was in no backup are there, empty: else no container of the app could be made."""
        for name, volume in self._volume_lifecycle.of(app).items():
            if not self._engine.volumes.exists(volume):
                self._engine.volumes.make(volume, self._volume_lifecycle.labels(app, name))
                log.warning(
                    "%s: volume %s is empty, its content was not in the backup; fill it with `storage:import %s %s`",
                    app.name, name, app.name, name,
                )  # fmt: skip

    def _next(self, attempt: Attempt) -> Attempt | None:
        """Where it stands now; None when it is over."""
        try:
            now, app = self._store.deploy(attempt.deploy_id), self._store.app_by_id(attempt.app_id)
        except NotFound:  # the app was destroyed meanwhile
            return None
        if attempt.again_at is not None:
            return attempt if time.monotonic() < attempt.again_at else self._once_more(app, attempt)
        if now.state.switched:
            return None
        if not now.state.ended:
            return attempt
        again_s = next(iter(PULL_AGAIN_S[attempt.failed :]), None)
        if now.kind is not DeployKind.IMAGE or now.state is not DeployState.FAILED:
            again_s = None
        then = f"; it is tried again in {again_s:g} s" if again_s else ""
        log.warning("%s is not live: deploy %d %s: %s (%s)%s", app.name, now.id, now.state, now.reason, now.hint, then)
        if again_s is None:
            return None
        return replace(attempt, failed=attempt.failed + 1, again_at=time.monotonic() + again_s)

    def _once_more(self, app: App, attempt: Attempt) -> Attempt | None:
        newest = self._store.deploys(app.id, limit=1)
        if newest[0].id != attempt.deploy_id:  # somebody has taken care of it
            return None
        try:
            deploy = self._begun(app)
        except EngineError:  # Docker is away: later
            return attempt
        return replace(attempt, deploy_id=deploy.id, again_at=None) if deploy is not None else None
