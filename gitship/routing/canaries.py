"""Canaries under way, one per app at most, and how people decide about them. ``Operations.canaries``.

Kept in memory alone: a gitship that starts knows of none, and leads all visitors to the live release again.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Protocol

from gitship.deploy.queue import DeployQueue
from gitship.errors import NotFound
from gitship.front.canary_vcl import Share, Side
from gitship.model import App, Container, Deploy, Identity, Release
from gitship.store import Store

ANSWER_TIMEOUT_S = 60.0


@dataclass(slots=True)
class Trial:
    """``release`` in ``containers`` has a share of the visitors, whose cookies last for ``seconds``.

    ``promoted_by`` or ``aborted_by`` is the key of whoever has decided; ``decided`` is set then.
    """

    deploy_id: int
    app_id: int
    release: Release
    containers: tuple[Container, ...]
    share: Share
    seconds: int
    promoted_by: str = ""
    aborted_by: str = ""
    decided: threading.Event = field(default_factory=threading.Event)

    def canary(self, other_key: str) -> Side:
        return Side(self.share.canary, self.seconds, other_key)

    def rest(self, other_key: str) -> Side:
        return Side(self.share.rest, self.seconds, other_key)


class Trials:
    """Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._trials: dict[int, Trial] = {}

    def begin(self, trial: Trial) -> None:
        with self._lock:
            self._trials[trial.app_id] = trial

    def of(self, app_id: int) -> Trial | None:
        with self._lock:
            return self._trials.get(app_id)

    def end(self, app_id: int) -> None:
        with self._lock:
            self._trials.pop(app_id, None)

    def settle(self, trial: Trial) -> None:
        """From now on nobody else decides about it."""
        with self._lock:
            trial.decided.set()

    def decide(self, app_id: int, by: str, *, promote: bool) -> Trial | None:
        """The first decision counts; None when there is nothing to decide any more."""
        with self._lock:
            trial = self._trials.get(app_id)
            if trial is None or trial.decided.is_set():
                return None
            if promote:
                trial.promoted_by = by
            else:
                trial.aborted_by = by
            trial.decided.set()
            return trial


class Canaries(Protocol):
    """How people end a canary before gitship does. Both raise NotFound when the app has none."""

    def promote(self, app: App, by: Identity) -> Deploy:
        """All visitors get the new release; the deploy as it is after the switch."""
        ...

    def abort(self, app: App, by: Identity) -> Deploy:
        """All visitors get the old release, and the deploy has failed."""
        ...


class RunningCanaries:
    """The implementation behind ``Canaries``."""

    def __init__(self, store: Store, trials: Trials, queue: DeployQueue) -> None:
        self._store = store
        self._trials = trials
        self._queue = queue

    def promote(self, app: App, by: Identity) -> Deploy:
        return self._decide(app, by, promote=True)

    def abort(self, app: App, by: Identity) -> Deploy:
        return self._decide(app, by, promote=False)

    def _decide(self, app: App, by: Identity, *, promote: bool) -> Deploy:
        app_id = self._store.confirm(app, by).id
        job = self._queue.running(app_id)
        trial = self._trials.decide(app_id, by.key_name, promote=promote)
        if job is None or trial is None:
            raise no_canary(app.name)
        job.journal.answered.wait(ANSWER_TIMEOUT_S)
        return self._store.deploy(trial.deploy_id)


def no_canary(app: str) -> NotFound:
    return NotFound(f"{app} has no canary now", "one begins with: git push -o canary=5% deploy main")
