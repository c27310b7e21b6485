"""Canary stage: sends a share of visitors to the new release, then promotes or aborts it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from gitship.appfiles import canary_rules
from gitship.appfiles.canary_rules import CanaryJudgement, CanaryPlan, CanaryVerdict
from gitship.deploy.journal import StageHeading
from gitship.deploy.rollout import Rollout
from gitship.engine.interface import Engine
from gitship.errors import DeployCanceled, DeployError, FrontError, GitshipError
from gitship.front.canary_vcl import CanaryShare
from gitship.front.front import Front
from gitship.front.traffic_counters import ReleaseCounters, TrafficCounters
from gitship.model import WEB, App, DeployState
from gitship.routing.access_control import AccessControl
from gitship.routing.active_canaries import ActiveCanaries, ActiveCanary
from gitship.routing.drain import Drainer, DrainLimits
from gitship.routing.switch import Switch, Switched, verify_path

TICK_S = 0.5
LOG_LINES = 10  # of an aborted canary
PROGRESS_S = 10.0  # at least so long between two lines about how it goes

log = logging.getLogger("gitship.deploy")


class Canary:
    """A stage of the pipeline. From its beginning to its end the app's trial is in ``active_canaries``.

    ``counting`` says whether the visitor log is read at all: who isn't counted can't have seen an error.
    """

    def __init__(
        self, engine: Engine, front: Front, drainer: Drainer, access_control: AccessControl,
        active_canaries: ActiveCanaries,
        switch: Switch,
        counters: TrafficCounters, counting: Callable[[], bool], drain_limit_s: float,
    ) -> None:  # fmt: skip
        self._engine = engine
        self._front = front
        self._drainer = drainer
        self._access_control = access_control
        self._canaries = active_canaries
        self._switch = switch
        self._counters = counters
        self._counting = counting
        self._drain_limit_s = drain_limit_s

    def run(self, rollout: Rollout) -> None:
        """Returns when all visitors may have the new release: at once, if no canary is asked for or possible.

        Raises DeployError, DeployCanceled or FrontError; then all visitors have the old release again.
        """
        plan = self._plan(rollout)
        if plan is None:
            return
        app, release, deploy_id = rollout.app, rollout.release, rollout.job.deploy.id
        trial = ActiveCanary(
            deploy_id,
            app.id,
            release,
            tuple(rollout.wanted),
            CanaryShare(str(deploy_id), plan.percent),
            int(plan.most_s) + 1,
        )
        with rollout.job.journal.stage(DeployState.CANARY, f"Canary: {release.label} for {plan}") as stage:
            try:
                with self._front.holding(app.id):
                    rollout.tried = True
                    self._begin(app, trial, rollout.job.cancel)
                with self._counters.watching(app.id) as watch:
                    judgement = self._watch(rollout, plan, trial, watch, stage)
                stage.text = self._last_word(rollout, trial, judgement)
            except BaseException:
                with self._front.holding(app.id):
                    self.abort(rollout)
                raise

    def abort(self, rollout: Rollout) -> None:
        """All visitors have what the app's own label leads to, with one switch; the rest is tidied up after it.

        To be called while the app is held. Nothing happens without a canary. Raises FrontError.
        """
        if self._canaries.of(rollout.app.id) is None:
            return
        try:
            self._end(rollout)
        finally:
            self._canaries.end(rollout.app.id)
        self._access_control.bring(rollout.app.id)

    def promoted(self, rollout: Rollout) -> None:
        """The app's own label leads to the new release now, and the store says so: there are no sides any more."""
        app = rollout.app
        if self._canaries.of(app.id) is None:
            return
        try:
            self._end(rollout)
            limits = DrainLimits(self._drain_limit_s, 0.0)  # no container ends, so no socket either
            self._drainer.start(app, rollout.tried_vcls, [], limits, lambda cut: None)
        except GitshipError as error:
            log.warning("%s: ending its canary: %s; both sides are the new release", app.name, error.message)
        finally:
            self._canaries.end(app.id)

    def _plan(self, rollout: Rollout) -> CanaryPlan | None:
        job = rollout.job
        asked = job.request.canary or (rollout.manifest.canary if rollout.manifest else None)
        if asked is None or job.request.skip_canary or rollout.stopped or job.request.new_name:
            return None
        if rollout.candidate is None or not rollout.candidate.is_new:  # a restart or a scale: there is nothing to try
            return None
        sides = (rollout.running, rollout.wanted)
        if not all(any(c.process == WEB and c.port is not None for c in side) for side in sides):
            job.journal.detail("no canary: it needs a web process in the live and the new release")
            return None
        return asked

    def _begin(self, app: App, trial: ActiveCanary, cancel: threading.Event) -> None:
        self._canaries.begin(trial)
        self._access_control.bring(app.id)
        self._front.canaries.share(app.slug, trial.share)
        vcl = self._front.canaries.vcl(app.slug)
        if vcl is None:
            raise FrontError("Varnish no longer has the canary", "push again")
        front = self._access_control.canary_front(app, trial)
        switched = Switched(vcl, None, front.verify_token, front.backends)
        self._switch.verify(app, switched, verify_path(trial.release), trial.share.canary, cancel)

    def _watch(
        self, rollout: Rollout, plan: CanaryPlan, trial: ActiveCanary, watch: ReleaseCounters, stage: StageHeading
    ) -> CanaryJudgement:
        """What the figures say; WAIT when somebody has decided before. Raises DeployCanceled."""
        assert rollout.previous is not None
        before, now = rollout.previous.label, rollout.release.label
        began, told_s = time.monotonic(), 0.0
        while not trial.decided.wait(TICK_S):
            if rollout.job.cancel.is_set():
                raise DeployCanceled("canceled during the canary")
            old, new = self._counters.seen(watch, before), self._counters.seen(watch, now)
            elapsed_s = time.monotonic() - began
            judgement = canary_rules.judge(plan, elapsed_s, old, new)
            if judgement.verdict is not CanaryVerdict.WAIT:
                return judgement
            if elapsed_s - told_s >= max(PROGRESS_S, plan.window_s / 6):
                told_s = elapsed_s
                stage.detail(f"{now}: {canary_rules.described(new)}", elapsed_s)
                stage.detail(f"{before}: {canary_rules.described(old)}")
        return canary_rules.WAIT

    def _last_word(self, rollout: Rollout, trial: ActiveCanary, judgement: CanaryJudgement) -> str:
        """About a canary that held. Raises DeployError about one that did not."""
        self._canaries.settle(trial)
        if trial.promoted_by:
            return f"Canary promoted by {trial.promoted_by}"
        if trial.aborted_by:
            raise DeployError(f"aborted by {trial.aborted_by}", "fix it, then push again")
        if judgement.verdict is CanaryVerdict.ABORT:
            raise DeployError(judgement.reason, "fix it, then push again", self._said(rollout))
        if not self._counting():
            raise DeployError(
                "visitors cannot be counted: varnishncsa is not running",
                "see the server's log; to deploy without a canary: git push -o canary=off deploy main",
            )
        return f"Canary promoted: {judgement.reason}"

    def _said(self, rollout: Rollout) -> list[str]:
        """The last lines of the canary's first web container."""
        web = next(container for container in rollout.wanted if container.process == WEB)
        try:
            return [line.text for line in self._engine.logs(web.id, tail=LOG_LINES)]
        except GitshipError:
            return []

    def _end(self, rollout: Rollout) -> None:
        app = rollout.app
        serving = self._front.labelled(app.slug)
        try:
            if serving is not None:
                self._front.canaries.label(app.slug, serving)
        finally:
            self._front.canaries.end(app.slug)
        rollout.tried_vcls = self._front.unlabelled(app.slug, rollout.release.label)
