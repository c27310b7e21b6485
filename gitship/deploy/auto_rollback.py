"""Automatic rollback of a release that fails right after its switch, once, to the previous release.

The rollback is a deploy like any other. It happens only while the bad release is still live: a newer push wins. A
release that was rolled back from is remembered as bad, and so is never gone back to by itself.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gitship.appfiles.manifest import Manifest
from gitship.appsettings import BAD
from gitship.config import Settings
from gitship.containers import capabilities
from gitship.deploy import auto_rollback_rules
from gitship.deploy.job import Withdrawal
from gitship.deploy.journal import DeployJournal
from gitship.deploy.queue import DeployQueue
from gitship.deploy.rollout import Rollout
from gitship.errors import Conflict, NotFound
from gitship.events import Bus, Event
from gitship.front.traffic_counters import ReleaseCounters, TrafficCounters
from gitship.model import App, Deploy, DeployKind, DeployState, Release, Topic
from gitship.model.traffic import together
from gitship.per_app_errors import PerAppErrors
from gitship.store import Store

log = logging.getLogger("gitship.deploy")
TICK_S = 0.5
RECENT = 10  # deploys of an app that are looked at: a scale after the push has the same release
BEFORE_S = 60.0  # of the release before: was it any better?
NEWEST = 50  # events that are looked at: only those of this release count, whatever the clock says
# What a person has chosen, or what is no new release, is not undone.
WATCHED = frozenset({DeployKind.PUSH, DeployKind.CONFIG, DeployKind.PROMOTE, DeployKind.IMAGE})


class RollsBack(Protocol):
    """Queues the rollback. Raises Conflict when the app is locked."""

    def __call__(self, app: App, target: Release, withdrawal: Withdrawal, cause: str) -> Deploy: ...


@dataclass(frozen=True, slots=True)
class WatchedRelease:
    """A release that is watched for ``seconds``, what was live before it, and whether that was in trouble itself."""

    app: App
    release: Release
    previous: Release | None
    previous_trouble: str
    journal: DeployJournal
    seconds: float
    most_percent: float
    began: float  # monotonic seconds, of the switch


class AutoRollback:
    """One thread per release that is watched."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        bus: Bus,
        counters: TrafficCounters,
        queue: Callable[[], DeployQueue],
        manifest_of: Callable[[App, Release], Manifest | None],
    ) -> None:
        self._manifest_of = manifest_of
        self._settings = settings
        self._store = store
        self._bus = bus
        self._counters = counters
        self._queue = queue
        self._rolls_back: RollsBack | None = None
        self._stopping = threading.Event()

    def rolls_back_by(self, rolls_back: RollsBack) -> None:
        self._rolls_back = rolls_back

    def stop(self) -> None:
        """A release that is being watched is so no longer; the next gitship takes it up."""
        self._stopping.set()

    def begin(self, rollout: Rollout) -> None:
        """The release has all visitors; returns at once."""
        case = self._case(rollout)
        if case is not None:
            self._start(case)

    def take_up(self) -> None:
        """What an earlier gitship was watching: for the rest of its time, and with what the store has of it."""
        apart = PerAppErrors()
        for app in self._store.apps():
            with apart.part(app.name, "watching its release again"):
                case = self._case_left(app)
                if case is not None:
                    self._start(case)

    def _start(self, case: WatchedRelease) -> None:
        threading.Thread(target=self._run, args=(case,), name=f"probation-{case.app.name}", daemon=True).start()

    def _case_left(self, app: App) -> WatchedRelease | None:
        recent = self._store.deploys(app.id, limit=RECENT)
        deploy = next((d for d in recent if d.release_id == app.live_release and d.kind in WATCHED), None)
        if deploy is None or app.live_release is None or deploy.reason:
            return None
        ends = [stage.started_at + stage.seconds for stage in deploy.stages if stage.stage is DeployState.SWITCHING]
        if deploy.state is not DeployState.LIVE or not ends:
            return None
        passed_s = time.time() - ends[-1]
        release = self._store.release(app.live_release)
        seconds, percent = self._terms(self._manifest_of(app, release))
        if not 0 <= passed_s < seconds:
            return None
        previous = next((r for r in self._store.good_releases(app.id) if r.number < release.number), None)
        trouble = (previous and self._store.setting(app.id, BAD(f"{previous.number}"))) or ""
        journal = DeployJournal(deploy, app, self._store, self._bus, self._settings.logs)
        began = time.monotonic() - passed_s
        return WatchedRelease(app, release, previous, trouble, journal, seconds - passed_s, percent, began)

    def _case(self, rollout: Rollout) -> WatchedRelease | None:
        seconds, percent = self._terms(rollout.manifest)
        candidate = rollout.candidate
        if not seconds or rollout.job.kind not in WATCHED or candidate is None or not candidate.is_new:
            return None
        if rollout.stopped:
            return None
        since = time.time() - (time.monotonic() - rollout.switch_began)
        before = self._trouble_before(rollout.app, rollout.previous, since, percent)
        return WatchedRelease(
            rollout.app,
            rollout.release,
            rollout.previous,
            before,
            rollout.job.journal,
            seconds,
            percent,
            rollout.switch_began,
        )

    def _terms(self, manifest: Manifest | None) -> tuple[float, float]:
        """For how many seconds, and up to what percent of failed requests: the app's own word, else the server's."""
        own, server = manifest or Manifest(), self._settings.deploy
        seconds = server.watch if own.watch_s is None else own.watch_s
        percent = server.watch_errors if own.watch_errors is None else own.watch_errors
        return seconds, percent

    def _trouble_before(self, app: App, previous: Release | None, until: float, percent: float) -> str:
        """What was wrong with the release before, in its last minute."""
        if previous is None:
            return ""
        if why := self._store.setting(app.id, BAD(f"{previous.number}")):
            return why
        events = [e for e in self._store.container_events(app.id, since=until - BEFORE_S) if e.at < until]
        seen = together(step.traffic for step in self._counters.steps(app.id, BEFORE_S))
        return auto_rollback_rules.trouble(events, previous.number, seen, percent)

    # -- the thread

    def _run(self, case: WatchedRelease) -> None:
        try:
            with self._counters.watching(case.app.id) as watch:
                why = self._watch(case, watch)
            if why:
                self._bad(case, why)
        except NotFound:
            return  # the app was destroyed
        except Exception:
            if not self._stopping.is_set():  # else the store is closed
                log.exception("%s: watching %s", case.app.name, case.release.label)

    def _watch(self, case: WatchedRelease, watch: ReleaseCounters) -> str:
        """What is wrong with it; "" when its time has passed, or it is live no more."""
        ends = time.monotonic() + case.seconds
        while time.monotonic() < ends and self._is_live(case):
            if self._stopping.wait(TICK_S):
                return ""
            events = self._store.container_events(case.app.id, limit=NEWEST)
            seen = self._counters.seen(watch, case.release.label)
            if why := auto_rollback_rules.trouble(events, case.release.number, seen, case.most_percent):
                return why
        return ""

    def _is_live(self, case: WatchedRelease) -> bool:
        return self._store.app_by_id(case.app.id).live_release == case.release.id

    def _bad(self, case: WatchedRelease, why: str) -> None:
        """A deploy that is under way decides first: if it comes to nothing, the bad release is still there."""
        why = f"{why} within {max(1, round(time.monotonic() - case.began))} s of the switch"
        self._store.set_setting(case.app.id, BAD(f"{case.release.number}"), why)
        while self._queue().running(case.app.id) is not None:
            if self._stopping.wait(TICK_S):
                return
        if not self._is_live(case):
            return
        stays = self._why_it_stays(case)
        if stays:
            self._tell(case, f"{case.release.label} is bad: {why}. It stays live: {stays}", "fix it, then push again")
            return
        self._roll_back(case, why)

    def _why_it_stays(self, case: WatchedRelease) -> str:
        if case.previous is None:
            return "there is no earlier release"
        if case.previous_trouble:
            return f"{case.previous.label} had problems, too ({case.previous_trouble})"
        for mount in capabilities.taken_away(case.previous, self._store.app_settings(case.app.id)):
            which = f"{case.previous.label} mounts the host directory {mount.source}"
            return f"{which}, which the app may no longer use"
        return ""

    def _roll_back(self, case: WatchedRelease, why: str) -> None:
        assert case.previous is not None and self._rolls_back is not None
        bad, target, deploy = case.release, case.previous, case.journal.deploy
        app = self._store.app_by_id(case.app.id)  # by its name of now
        withdrawal = Withdrawal(bad.id, deploy.ref, deploy.commit, deploy.old)
        cause = f"automatic rollback to {target.label}: {bad.label} {why}"
        try:
            made = self._rolls_back(app, target, withdrawal, cause)
        except Conflict as error:
            self._tell(case, f"{bad.label} is bad: {why}. It stays live: {error.message}", error.hint)
            return
        what = f"commit {bad.commit[:7]}" if bad.commit else bad.label
        text = f"{bad.label} is bad: {why}. Rolled back to {target.label} by deploy {made.id}; {what} is not live"
        hint = "fix it and push again"
        if deploy.ref and deploy.old:
            hint += "; the branch was reset, so the same commit can also be pushed again"
        self._tell(case, text, hint)

    def _tell(self, case: WatchedRelease, text: str, hint: str) -> None:
        """In the deploy's record and log, to webhooks, open pages and the server's log."""
        case.journal.remark(text, hint)
        log.warning("%s: %s", case.app.name, text)
        self._bus.publish(Event(Topic.RELEASE_BAD, case.app.name, case.journal.deploy.id, text, app_id=case.app.id))


def is_bad(store: Store, app_id: int, number: int) -> bool:
    """True for a release that gitship has rolled back from."""
    return store.setting(app_id, BAD(f"{number}")) is not None
