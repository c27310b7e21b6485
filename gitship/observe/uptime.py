"""Records the uptime of apps."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from gitship.errors import GitshipError
from gitship.model import App, UptimeDay
from gitship.model.uptime import DAY_S
from gitship.observe.app_state import UNANSWERED_S, AppStates, Words, unanswered
from gitship.observe.status_facts import StatusFacts
from gitship.observe.traffic import StoredStats
from gitship.per_app_errors import PerAppErrors
from gitship.routing.pause import ServerPauses
from gitship.store import Store

SAMPLE_S = 20.0
MOST_S = 60.0  # between two looks: of a longer time (gitship, or the machine, did not run) nothing is known
SAVE_S = 60.0  # what a crash can lose
STOP_TIMEOUT_S = 5.0

log = logging.getLogger("gitship.uptime")


class Uptime:
    """Owns the thread ``uptime``. What it sees counts for the time since its last look.

    While Docker is silent, or gitship does not run, nothing is counted: sites stay up then, but nobody saw it.
    """

    def __init__(
        self,
        store: Store,
        facts: StatusFacts,
        pauses: ServerPauses,
        stats: StoredStats,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._facts = facts
        self._pauses = pauses
        self._stats = stats
        self._clock = clock
        self._apart = PerAppErrors()
        self._looked_at: float | None = None
        self._saved_at = time.monotonic()
        self._unsaved: list[UptimeDay] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="uptime", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Everything counted is in the store then."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(STOP_TIMEOUT_S)
        self.save()

    def sample(self) -> None:
        """Looks at all apps once. Raises EngineError when Docker does not answer."""
        now = self._clock()
        seconds = now - self._looked_at if self._looked_at is not None else 0.0
        self._looked_at = now
        failing = unanswered(self._stats.all_traffic(UNANSWERED_S))
        words = Words.ask(self._store, self._facts)
        answers = self._facts.front_answers()
        states = AppStates(self._store, self._pauses, words, failing, front_answers=answers)
        if 0 < seconds <= MOST_S:
            with self._apart.round():
                for app in self._store.apps():
                    with self._apart.part(app.name, "how it is"):
                        if app.live_release is not None:
                            self._unsaved.append(_counted(app, states, int(now // DAY_S), seconds))

    def save(self) -> None:
        """Writes down what has been counted since the last time; what can't be written now is, the next time."""
        self._saved_at = time.monotonic()
        try:
            self._store.add_uptime(self._unsaved)
            self._store.prune_uptime(int(self._clock() // DAY_S))
            self._unsaved = []
        except GitshipError as error:
            log.warning("%s", error.message)
        except Exception:
            log.exception("writing down which apps are up")

    def _loop(self) -> None:
        while True:
            try:
                self.sample()
            except GitshipError as error:
                log.debug("%s", error.message)  # Docker is down: the reconciler says so
            except Exception:
                log.exception("looking which apps are up")
            if self._stop.wait(SAMPLE_S):
                return
            if time.monotonic() - self._saved_at >= SAVE_S:
                self.save()


def _counted(app: App, states: AppStates, day: int, seconds: float) -> UptimeDay:
    state = states.for_visitors(app)
    if state.off:
        return UptimeDay(app.id, day, off_s=seconds)
    if state.up:
        return UptimeDay(app.id, day, up_s=seconds)
    return UptimeDay(app.id, day, down_s=seconds)
