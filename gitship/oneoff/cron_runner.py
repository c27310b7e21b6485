"""Runs cron entries: begins, queues or replaces a run by its overlap policy, and records its outcome.

The record comes before the container. A run whose record says "running" has a thread that ends it, or a container that
the reconciler takes up, or ``settle`` ends it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gitship.appsettings import STOPPED
from gitship.deploy import journal
from gitship.errors import Conflict, GitshipError, NotFound
from gitship.events import Bus, Event
from gitship.logs import directories, runs
from gitship.model import GITSHIP, App, CronEntry, CronOutcome, CronRun, Identity, Overlap, Role, Topic
from gitship.oneoff import crontab
from gitship.oneoff.oneoffs import OneOffs
from gitship.oneoff.programs import ProgramCommand
from gitship.oneoff.spec import PROCESS, ContainerEnding, Task
from gitship.per_app_errors import PerAppErrors
from gitship.store import Store
from gitship.store.rights import ensure_live

log = logging.getLogger("gitship.cron")
TOPIC = Topic.CRON_FAILED
STARTS_AT_ONCE = 4
LOOK_EVERY_S = 0.2
KILLED = 137  # the exit code after SIGKILL
BY_THE_CLOCK = Identity("cron", Role.DEPLOYER)


class CronRunner:
    """Safe from any thread. A run in ``_starting`` has a thread that will give it a container, or end it."""

    def __init__(self, store: Store, bus: Bus, one_offs: OneOffs, logs: Path) -> None:
        self._store = store
        self._bus = bus
        self._one_offs = one_offs
        self._logs = logs
        self._apart = PerAppErrors()
        self._lock = threading.Lock()
        self._starting: set[int] = set()
        self._pool = ThreadPoolExecutor(STARTS_AT_ONCE, thread_name_prefix="cron-start")
        one_offs.tell_ends(self.ended)

    def close(self) -> None:
        """Waits for those that are just being started; what runs goes on in Docker."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    # -- beginning

    def due(self, app: App, entry: CronEntry, due_at: float) -> CronRun | None:
        """Begins the entry's run for that minute as its overlap policy says; None when the minute has had its run."""
        with self._lock:
            others = self._open(app, entry.name)
            outcome, reason = _by_policy(entry, others)
            run = self._store.add_cron_run(app.id, entry.name, outcome, due_at=due_at, reason=reason)
            if run is None or outcome is not CronOutcome.RUNNING:
                return run
            self._starting.add(run.id)
        self._pool.submit(self._start, app, entry, run, BY_THE_CLOCK)
        return run

    def begin_now(self, app: App, entry: CronEntry, by: Identity) -> CronRun:
        """Begins a run that somebody asks for; its record. Raises Conflict when the entry's policy forbids it now."""
        with self._lock:
            others = self._open(app, entry.name)
            if others and entry.overlap in (Overlap.SKIP, Overlap.QUEUE):
                raise Conflict(
                    f"{entry.name} of {app.name} is already running (run {others[0].number})",
                    f"wait for it, or stop it: run:stop {app.name} {others[0].container or 'NAME'}",
                )
            run = self._store.add_cron_run(app.id, entry.name, CronOutcome.RUNNING, by=by.key_name)
            assert run is not None
            self._starting.add(run.id)
        self._start(app, entry, run, by)
        return self._store.cron_run(run.id)

    def _open(self, app: App, entry: str) -> list[CronRun]:
        return [run for run in self._store.open_cron_runs() if (run.app_id, run.entry) == (app.id, entry)]

    def _start(self, app: App, entry: CronEntry, run: CronRun, by: Identity) -> None:
        """Never raises: what goes wrong is how the run ends."""
        try:
            app = self._store.confirm(app, by)
            release = self._store.release(ensure_live(app).live_release or 0)
            if entry.overlap is Overlap.REPLACE:
                self._end_others(app, run)
            name = f"{app.name}.{PROCESS}.cron-{run.number}.{release.label}"
            begun = self._store.begin_cron_run(run, name)
            if begun is not None:
                command = ProgramCommand(entry.command, timeout_s=entry.timeout_s)
                self._one_offs.run_task(app, release, Task(entry.name, run.id), name, command, by)
        except GitshipError as error:
            self._end(run, CronOutcome.FAILED, reason=error.message)
        except Exception:
            log.exception("starting run %d of %s", run.number, entry.name)
            self._end(run, CronOutcome.FAILED, reason="internal error: the server's log has it")
        finally:
            with self._lock:
                self._starting.discard(run.id)

    def _end_others(self, app: App, run: CronRun) -> None:
        for other in self._open(app, run.entry):
            if other.id < run.id:
                self._end(other, CronOutcome.REPLACED, reason=f"replaced by run {run.number}")
                if other.container and self._one_offs.is_there(other.container):
                    self._one_offs.stop(app, other.container, GITSHIP)

    # -- ending

    def ended(self, run_id: int, ending: ContainerEnding) -> None:
        """A run's container has ended. May be told again: only the first time counts."""
        try:
            run = self._store.cron_run(run_id)
        except NotFound:
            return  # with its app
        outcome, reason = _how(ending)
        self._end(run, outcome, exit_code=ending.code, reason=reason)

    def _end(self, run: CronRun, outcome: CronOutcome, *, exit_code: int | None = None, reason: str = "") -> None:
        ended = self._store.end_cron_run(run, outcome, exit_code=exit_code, reason=reason)
        if ended is None:
            return
        app = self._store.app_by_id(run.app_id)
        if outcome in (CronOutcome.FAILED, CronOutcome.TIMED_OUT):
            log.warning("%s: cron %s, run %d: %s", app.name, run.entry, run.number, reason)
            text = f"{run.entry} (run {run.number}) {outcome}: {reason}"
            self._bus.publish(Event(TOPIC, app.name, text=text, app_id=app.id))
        self._go_on(app, run.entry)

    def _go_on(self, app: App, name: str) -> None:
        """Begins the run that waits for the end of the one before, if there is one."""
        with self._lock:
            others = self._open(app, name)
            waiting = [run for run in others if run.outcome is CronOutcome.QUEUED and run.id not in self._starting]
            if not waiting or any(run.outcome is CronOutcome.RUNNING for run in others):
                return
            run, entry = waiting[0], crontab.entries(self._store, app).get(name)
            gone = "it is no longer in the crontab" if entry is None else "it was suspended" if entry.suspended else ""
            if self._store.setting(app.id, STOPPED):
                gone = "the app was stopped"
            if entry is None or gone:
                self._store.end_cron_run(run, CronOutcome.SKIPPED, reason=gone)
                return
            self._starting.add(run.id)
        try:
            self._pool.submit(self._start, app, entry, run, BY_THE_CLOCK)
        except RuntimeError:  # gitship is stopping; the next one begins it
            with self._lock:
                self._starting.discard(run.id)

    def settle(self) -> None:
        """Ends what an earlier gitship left behind with the truth; what cannot be told now, another time."""
        with self._apart.round():
            for run in self._store.open_cron_runs():
                with self._lock:
                    if run.id in self._starting:
                        continue
                with self._apart.part("", f"run {run.number} of cron {run.entry}, app {run.app_id}"):
                    self._settle(run)

    def _settle(self, run: CronRun) -> None:
        if run.outcome is CronOutcome.QUEUED:
            self._go_on(self._store.app_by_id(run.app_id), run.entry)
        elif not run.container:
            self._end(run, CronOutcome.FAILED, reason="gitship was stopped before it started")
        elif not self._one_offs.is_there(run.container):
            self._end(run, CronOutcome.FAILED, reason="its container is gone; how it ended is unknown")

    # -- looking

    def follow(self, run: CronRun, write: Callable[[str], None], gone: threading.Event) -> CronRun:
        """Hands over what it prints until its end, or ``gone``; its record then."""
        position = 0
        while True:
            now = self._store.cron_run(run.id)  # before reading: what was printed until then is read below
            position = journal.hand_over(self._log_file(now), position, write)
            if now.outcome.ended or gone.wait(LOOK_EVERY_S):
                return now

    def output(self, run: CronRun) -> Iterator[str]:
        """The lines so far; none when they are not kept any more."""
        path = self._log_file(run)
        return runs.read(path.parent, path.stem)

    def _log_file(self, run: CronRun) -> Path:
        place = runs.cron_directory(directories.directory(self._logs, run.app_id), run.entry)
        return place / f"{run.container}.log"


def _by_policy(entry: CronEntry, others: list[CronRun]) -> tuple[CronOutcome, str]:
    """What a run shall be that is due while ``others`` run or wait."""
    if not others or entry.overlap in (Overlap.ALLOW, Overlap.REPLACE):
        return CronOutcome.RUNNING, ""
    waits = any(run.outcome is CronOutcome.QUEUED for run in others)
    if entry.overlap is Overlap.QUEUE and not waits:
        return CronOutcome.QUEUED, ""
    return CronOutcome.SKIPPED, f"run {others[0].number} {'and a waiting one were' if waits else 'was'} not finished"


def _how(ending: ContainerEnding) -> tuple[CronOutcome, str]:
    if ending.code is None:
        return CronOutcome.FAILED, "its container was removed"
    if ending.by_hand:
        return CronOutcome.STOPPED, "stopped by run:stop"
    if ending.late:
        return CronOutcome.TIMED_OUT, "it was stopped at its time limit"
    if ending.out_of_memory or ending.code == KILLED:  # Docker may come to know the cause after the end
        sure = "it exceeded its memory limit" if ending.out_of_memory else "out of memory?"
        return CronOutcome.FAILED, f"exit code {ending.code}: killed, {sure} (see `resources:show APP`)"
    return (CronOutcome.OK, "") if ending.code == 0 else (CronOutcome.FAILED, f"exit code {ending.code}")
