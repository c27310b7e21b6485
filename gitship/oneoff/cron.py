"""Operations on cron entries."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from gitship.appfiles import cron_schedule
from gitship.appsettings import CRON, CRON_SUSPENDED, STOPPED
from gitship.errors import Conflict, NotFound, nearest
from gitship.model import App, CronEntry, CronRun, Identity
from gitship.oneoff import crontab
from gitship.store import Store
from gitship.store.cron_runs import KEPT_PER_ENTRY


class StartsRuns(Protocol):
    """What runs entries, as ``CronRunner`` does."""

    def begin_now(self, app: App, entry: CronEntry, by: Identity) -> CronRun: ...

    def follow(self, run: CronRun, write: Callable[[str], None], gone: threading.Event) -> CronRun: ...

    def output(self, run: CronRun) -> Iterator[str]: ...


@dataclass(frozen=True, slots=True)
class Scheduled:
    """An entry, when it is due next (None: not by the clock now) and its newest run."""

    entry: CronEntry
    timezone: str
    next_at: float | None
    last: CronRun | None


class Cron:
    """Every method raises GitshipError (NotFound, Conflict, ...) with a hint, and then nothing has changed."""

    def __init__(self, store: Store, timezone: str, runs: StartsRuns) -> None:
        self._store = store
        self._timezone = timezone
        self._runs = runs

    # -- changing

    def add(self, app: App, entry: CronEntry, by: Identity) -> bool:
        """Keeps the entry, which holds from now on; True when it takes the place of another of that name."""
        with self._store.acting(app, by):
            before = crontab.entries(self._store, app)
            if entry.name not in before and len(before) >= crontab.MOST_PER_APP:
                raise Conflict(f"{app.name} already has {len(before)} cron entries", f"see `cron:list {app.name}`")
            self._store.change_settings(app.id, CRON(entry.name).to(entry) | CRON_SUSPENDED(entry.name).to(None))
        return entry.name in before

    def remove(self, app: App, name: str, by: Identity) -> CronEntry | None:
        """Forgets an entry that a command has made; the one of that name in the app's files, which counts again."""
        entry = self.entry(app, name)
        if entry.source != crontab.COMMAND:
            raise Conflict(
                f"{name} comes from {entry.source} of {app.name}",
                f"remove it there and push, or suspend it: cron:suspend {app.name} {name}",
            )
        with self._store.acting(app, by):
            self._store.change_settings(app.id, CRON(name).to(None) | CRON_SUSPENDED(name).to(None))
        return crontab.entries(self._store, app).get(name)

    def suspend(self, app: App, name: str, by: Identity, *, suspended: bool) -> bool:
        """False when it was so already."""
        with self._store.acting(app, by):
            if self.entry(app, name).suspended == suspended:
                return False
            self._store.set_setting(app.id, CRON_SUSPENDED(name), suspended)
        return True

    # -- running

    def run(self, app: App, name: str, by: Identity) -> CronRun:
        """Begins a run now, of a suspended entry and of a stopped app, too; its record."""
        now = self._store.confirm_live(app, by)
        return self._runs.begin_now(now, self.entry(now, name), by)

    def follow(self, run: CronRun, write: Callable[[str], None], gone: threading.Event) -> CronRun:
        """Hands over what it prints until its end, or ``gone``; its record then."""
        return self._runs.follow(run, write, gone)

    # -- looking

    def entries(self, app: App, now: float) -> list[Scheduled]:
        """By name, with what is due after ``now``."""
        still = app.live_release is None or self._store.setting(app.id, STOPPED) is True
        found = []
        for entry in crontab.entries(self._store, app).values():
            timezone, next_at = entry.timezone or self._timezone, None
            if not still and not entry.suspended:
                with suppress(ValueError):  # a time zone that this machine does not have any more
                    next_at = cron_schedule.following(entry.schedule, timezone, now)
            last = self._store.cron_runs(app.id, entry.name, 1)
            found.append(Scheduled(entry, timezone, next_at, last[0] if last else None))
        return found

    def entry(self, app: App, name: str) -> CronEntry:
        """Raises NotFound with the nearest name."""
        known = crontab.entries(self._store, app)
        if name not in known:
            near = nearest(name, known)
            hint = f"did you mean '{near}'?" if near else f"see `cron:list {app.name}`"
            raise NotFound(f"{app.name} has no cron entry '{name[:80]}'", hint)
        return known[name]

    def history(self, app: App, name: str | None, limit: int) -> list[CronRun]:
        """Newest first; of an entry that is gone, too."""
        runs = self._store.cron_runs(app.id, name, limit)
        if not runs and name is not None:
            self.entry(app, name)
        return runs

    def run_of(self, app: App, name: str, number: int | None) -> CronRun:
        """The entry's run of that number, or its newest that has run. Raises NotFound."""
        runs = self.history(app, name, KEPT_PER_ENTRY)
        found = next((r for r in runs if (r.container if number is None else r.number == number)), None)
        if found is None:
            which = "that ran" if number is None else str(number)
            raise NotFound(f"{name} of {app.name} has no run {which}", f"see `cron:history {app.name} {name}`")
        return found

    def output(self, run: CronRun) -> Iterator[str]:
        """The lines that it has printed so far; none when they are not kept any more."""
        return self._runs.output(run)
