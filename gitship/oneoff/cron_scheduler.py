"""Cron scheduler: one thread that starts due entries every minute.

What was due while gitship was down is not made up for, but for the minute in which it starts. When the clock is set
forward or the machine slept, each entry runs once for the last LATE_S seconds; when it is set back, a minute that has
had its run does not get another.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Protocol

from gitship.appfiles import cron_schedule
from gitship.appsettings import STOPPED
from gitship.model import App
from gitship.oneoff import crontab
from gitship.oneoff.cron_runner import CronRunner
from gitship.per_app_errors import PerAppErrors
from gitship.store import Store

log = logging.getLogger("gitship.cron")
MINUTE_S = 60.0
LATE_S = 300.0
JUST_AFTER_S = 0.01  # so that a wait that ends a little early does not cost a second one
STOP_TIMEOUT_S = 10.0


class Clock(Protocol):
    """The time of day, and a way to wait that somebody can end."""

    def now(self) -> float:
        """Epoch seconds."""
        ...

    def wait(self, seconds: float, ended: threading.Event) -> bool:
        """True when ``ended`` was set before the time was over."""
        ...


class SystemClock:
    """The machine's own."""

    def now(self) -> float:
        return time.time()

    def wait(self, seconds: float, ended: threading.Event) -> bool:
        return ended.wait(seconds)


class Scheduler:
    """Owns the thread ``cron``. ``timezone`` is for entries that name none."""

    def __init__(self, store: Store, runs: CronRunner, timezone: str, clock: Clock | None = None) -> None:
        self._store = store
        self._runs = runs
        self._timezone = timezone
        self._clock = clock or SystemClock()
        self._apart = PerAppErrors()
        self._seen = 0.0  # everything due until then is begun, or passed over for good
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="cron", daemon=True)

    def start(self) -> None:
        now, seen = self._clock.now(), self._store.cron_seen()
        this_minute = now - now % MINUTE_S - 1
        self._seen = seen if this_minute < seen <= now else this_minute
        self._thread.start()

    def stop(self) -> None:
        """No run begins afterwards; those that run go on."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(STOP_TIMEOUT_S)
        self._runs.close()

    def _loop(self) -> None:
        while not self._ended.is_set():
            try:
                self._runs.settle()
                self.tick()
            except Exception:
                log.exception("looking at what is due")
            now = self._clock.now()
            if self._clock.wait(MINUTE_S - now % MINUTE_S + JUST_AFTER_S, self._ended):
                return

    def tick(self) -> None:
        """Begins what has become due since the last look."""
        now, since = self._clock.now(), self._seen
        self._seen = now
        if now - since > LATE_S:
            log.warning("%d minutes went by at once; what was due before the last five is not made up for",
                        (now - since) / MINUTE_S)  # fmt: skip
        with self._apart.round():
            for app in self._store.apps():
                with self._apart.part(app.name, "cron"):
                    self._look_at(app, max(since, now - LATE_S), now)
        self._store.set_cron_seen(now)

    def _look_at(self, app: App, since: float, now: float) -> None:
        if app.live_release is None or self._store.setting(app.id, STOPPED):
            return
        for entry in crontab.entries(self._store, app).values():
            if entry.suspended:
                continue
            try:
                due = cron_schedule.latest(entry.schedule, entry.timezone or self._timezone, since, now)
            except ValueError as error:  # a time zone that this machine does not have any more
                log.warning("%s: cron %s %s", app.name, entry.name, error)
                continue
            if due is not None:
                self._runs.due(app, entry, due)
