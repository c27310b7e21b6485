"""Traffic of all apps: counted in memory, kept in the store."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gitship.errors import GitshipError
from gitship.front.traffic_counters import KEPT_S, TrafficCounters, TrafficMinute
from gitship.front.visitor_log import VisitorLog
from gitship.model import App
from gitship.model.traffic import Span, Traffic, together
from gitship.store import Store
from gitship.store.traffic import HOUR_S, MINUTE_S

SAVE_S = 60.0  # what a crash can lose
STOP_TIMEOUT_S = 5.0

log = logging.getLogger("gitship.stats")


@dataclass(frozen=True, slots=True)
class TrafficMetrics:
    """All figures at this moment, for whoever publishes them.

    ``apps`` has by name what each app's visitors have asked for since gitship started: these only grow, so rates and
    shares can be taken from two readings (LATENCY_BOUNDS_S has the buckets' bounds). ``overruns`` is how often lines
    of Varnish's log were lost, ``counting`` whether varnishncsa runs.
    """

    apps: Mapping[str, Traffic]
    overruns: int
    counting: bool


class StoredStats:
    """What is known of apps' visitors. Spans without any are left out; nothing raises but for a broken store.

    Owns the thread that writes down what the counters have, and the one that reads varnishncsa.
    """

    def __init__(
        self,
        store: Store,
        counters: TrafficCounters,
        visitors: VisitorLog | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._counters = counters
        self._visitors = visitors
        self._clock = clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="stats", daemon=True)

    def start(self) -> None:
        """Takes up the last hour where an earlier gitship left it, and counts from now on."""
        minutes = self._store.traffic(MINUTE_S, self._clock() - KEPT_S)
        self._counters.restore(TrafficMinute(*row) for row in minutes)
        if self._visitors is not None:
            self._visitors.start()
        self._thread.start()

    def stop(self) -> None:
        """Ends counting; everything counted is in the store then."""
        if self._visitors is not None:
            self._visitors.stop()
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(STOP_TIMEOUT_S)
        self.save()

    def save(self) -> None:
        """Writes down what has been counted since the last time; what can't be written now is, the next time."""
        try:
            self._counters.save(self._write)
            self._store.prune_traffic(self._clock())
            self._counters.keep_only(app.id for app in self._store.apps())
        except GitshipError as error:
            log.warning("%s", error.message)
        except Exception:
            log.exception("writing down what visitors asked for")

    def traffic(self, app: App, since_s: float) -> Traffic:
        """Of the last ``since_s``: to 10 s within ten minutes, to the minute within an hour, else to the hour."""
        return together(span.traffic for span in self.history(app, since_s))

    def history(self, app: App, since_s: float) -> list[Span]:
        """The same piece by piece, oldest first."""
        if since_s <= KEPT_S:
            return self._counters.steps(app.id, since_s)
        return self._hours(since_s, app.id).get(app.id, [])

    def all_traffic(self, since_s: float) -> dict[int, Traffic]:
        """``traffic`` of every app by its id; those without visitors are left out."""
        if since_s > KEPT_S:
            return {app_id: together(s.traffic for s in spans) for app_id, spans in self._hours(since_s).items()}
        steps = {app.id: self._counters.steps(app.id, since_s) for app in self._store.apps()}
        return {app_id: together(s.traffic for s in spans) for app_id, spans in steps.items() if spans}

    def metrics(self) -> TrafficMetrics:
        names = {app.id: app.name for app in self._store.apps()}
        totals = self._counters.totals()
        return TrafficMetrics(
            apps={names[app_id]: traffic for app_id, traffic in totals.items() if app_id in names},
            overruns=self._visitors.overruns if self._visitors else 0,
            counting=self._visitors is not None and self._visitors.running,
        )

    def _hours(self, since_s: float, app_id: int | None = None) -> dict[int, list[Span]]:
        """What is stored and what is not yet, by app id."""
        spans: dict[int, dict[int, Traffic]] = {}
        waiting = [(m.app_id, m.start // HOUR_S * HOUR_S, m.traffic) for m in self._counters.unsaved()]
        for owner, start, traffic in (*self._store.traffic(HOUR_S, self._clock() - since_s, app_id), *waiting):
            if app_id in (None, owner):
                spans.setdefault(owner, {}).setdefault(start, Traffic()).add(traffic)
        return {
            owner: [Span(start, HOUR_S, traffic) for start, traffic in sorted(hours.items())]
            for owner, hours in spans.items()
        }

    def _write(self, minutes: Sequence[TrafficMinute]) -> None:
        self._store.add_traffic((m.app_id, m.start, m.traffic) for m in minutes)

    def _loop(self) -> None:
        while not self._stop.wait(SAVE_S):
            self.save()
