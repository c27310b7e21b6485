"""Canaries in progress, at most one per app.

Kept in memory alone: a gitship that starts knows of none, and leads all visitors to the live release again.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from gitship.front.canary_vcl import CanaryShare, CanarySide
from gitship.model import Container, Release

ANSWER_TIMEOUT_S = 60.0


@dataclass(slots=True)
class ActiveCanary:
    """``release`` in ``containers`` has a share of the visitors, whose cookies last for ``seconds``.

    ``promoted_by`` or ``aborted_by`` is the key of whoever has decided; ``decided`` is set then.
    """

    deploy_id: int
    app_id: int
    release: Release
    containers: tuple[Container, ...]
    share: CanaryShare
    seconds: int
    promoted_by: str = ""
    aborted_by: str = ""
    decided: threading.Event = field(default_factory=threading.Event)

    def canary(self, other_key: str) -> CanarySide:
        return CanarySide(self.share.canary, self.seconds, other_key)

    def rest(self, other_key: str) -> CanarySide:
        return CanarySide(self.share.rest, self.seconds, other_key)


class ActiveCanaries:
    """Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._canaries: dict[int, ActiveCanary] = {}

    def begin(self, trial: ActiveCanary) -> None:
        with self._lock:
            self._canaries[trial.app_id] = trial

    def of(self, app_id: int) -> ActiveCanary | None:
        with self._lock:
            return self._canaries.get(app_id)

    def end(self, app_id: int) -> None:
        with self._lock:
            self._canaries.pop(app_id, None)

    def settle(self, trial: ActiveCanary) -> None:
        """From now on nobody else decides about it."""
        with self._lock:
            trial.decided.set()

    def decide(self, app_id: int, by: str, *, promote: bool) -> ActiveCanary | None:
        """The first decision counts; None when there is nothing to decide any more."""
        with self._lock:
            trial = self._canaries.get(app_id)
            if trial is None or trial.decided.is_set():
                return None
            if promote:
                trial.promoted_by = by
            else:
                trial.aborted_by = by
            trial.decided.set()
            return trial
