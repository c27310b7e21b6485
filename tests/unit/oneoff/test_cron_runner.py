"""Cron runs and the thread that begins them: a real store, real threads, an engine in memory, a clock that is set."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gitship.appsettings import CRON, CRON_SUSPENDED, LIMIT, STOPPED
from gitship.engine.types import ContainerState
from gitship.errors import Conflict
from gitship.events import Bus
from gitship.logs import runs
from gitship.model import App, CronEntry, CronOutcome, CronRun, Overlap
from gitship.oneoff.cron_runner import TOPIC, CronRunner
from gitship.oneoff.cron_scheduler import LATE_S, Scheduler
from gitship.oneoff.programs import MOST_PER_APP
from gitship.store import cron_runs as history
from tests.unit.oneoff.test_oneoffs import ADA, Bench, MemoryEngine
from tests.waiting import wait_until

NOON = 1_750_000_020.0 - 1_750_000_020.0 % 3600
EVERY_MINUTE = CronEntry("tick", "* * * * *", ("./tick",), "command")


class SetClock:
    """A clock that stands still until a test moves it; whoever waits wakes up then."""

    def __init__(self, now: float) -> None:
        self._now = now
        self._moved = threading.Condition()
        self.waiting = threading.Event()

    def now(self) -> float:
        with self._moved:
            return self._now

    def move(self, seconds: float) -> None:
        self.waiting.clear()
        with self._moved:
            self._now += seconds
            self._moved.notify_all()

    def wait(self, seconds: float, ended: threading.Event) -> bool:
        deadline = self.now() + seconds
        self.waiting.set()
        while not ended.is_set():
            with self._moved:
                if self._now >= deadline:
                    return False
                before = self._now
                self._moved.wait(0.01)
                if self._now < before:  # set back: a real wait goes by other time, and ends all the same
                    return False
        return True


class Exits(MemoryEngine):
    """Containers that end as a test says."""

    def end(self, container_id: str, code: int = 0, *, oom: bool = False) -> None:
        with self.changed:
            state = self.containers[container_id]
            self.containers[container_id] = replace(state, status="exited", exit_code=code, oom_killed=oom)
            self.changed.notify_all()

    def inspect(self, container_id: str) -> ContainerState:
        return super().inspect(container_id if container_id.startswith("id-") else f"id-{container_id}")


class Lab(Bench):
    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.engine: Exits = Exits()
        self.clock = SetClock(NOON + 30)
        self.bus = Bus()
        self.boot()

    def boot(self) -> None:
        """What a new gitship has."""
        self.one_offs = self.make()
        self.runs = CronRunner(self.store, self.bus, self.one_offs, self.logs)
        self.scheduler = Scheduler(self.store, self.runs, "UTC", self.clock)

    def die(self) -> None:
        """kill -9, as far as threads allow: nothing that is under way writes any more."""
        self.one_offs.tell_ends(lambda run_id, ending: None)
        self.scheduler.stop()
        self.one_offs.close()

    def add(self, entry: CronEntry = EVERY_MINUTE) -> CronEntry:
        self.store.set_setting(self.app.id, CRON(entry.name), entry)
        return entry

    def history(self, entry: str | None = None) -> list[CronRun]:
        """Oldest first."""
        return self.store.cron_runs(self.app.id, entry)[::-1]

    def outcomes(self) -> list[str]:
        return [str(run.outcome) for run in self.history()]

    def pass_minutes(self, count: int) -> None:
        for _ in range(count):
            self.clock.move(60)
            wait_until(self.clock.waiting.is_set)

    def start(self) -> None:
        self.clock.waiting.clear()
        self.scheduler.start()
        wait_until(self.clock.waiting.is_set)

    def running(self) -> list[str]:
        return [s.name for s in list(self.engine.containers.values()) if s.status == "running"]

    def end(self, name: str, code: int = 0, *, oom: bool = False) -> None:
        self.engine.end(f"id-{name}", code, oom=oom)
        self.wait_gone(name)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    yield made
    made.scheduler.stop()
    made.one_offs.close()
    made.store.close()


def test_a_minute_that_is_due_is_run_once_and_its_end_is_kept(lab: Lab) -> None:
    lab.add()
    lab.start()
    wait_until(lambda: lab.running() == ["shop.run.cron-1.v1"])  # the minute in which gitship starts
    lab.end("shop.run.cron-1.v1")
    lab.pass_minutes(1)
    wait_until(lambda: lab.running() == ["shop.run.cron-2.v1"])
    lab.end("shop.run.cron-2.v1", 3)
    first, second = lab.history()
    assert (first.due_at, first.outcome, first.exit_code) == (NOON, CronOutcome.OK, 0)
    assert (second.due_at, second.outcome, second.exit_code, second.reason) == (
        NOON + 60, CronOutcome.FAILED, 3, "exit code 3",
    )  # fmt: skip
    assert list(lab.runs.output(first)) == ["hello from shop.run.cron-1.v1"]
    [name] = [t.name for t in threading.enumerate() if t.name == "cron"]
    lab.scheduler.stop()
    assert name not in [t.name for t in threading.enumerate()]


def test_it_is_a_one_off_of_the_live_release_with_the_entrys_own_limits(lab: Lab) -> None:
    lab.add(replace(EVERY_MINUTE, timeout_s=90.0))
    lab.store.set_setting(lab.app.id, LIMIT("run.memory_bytes"), 64 << 20)
    lab.store.set_setting(lab.app.id, LIMIT("*.pids"), 50)
    lab.start()
    wait_until(lab.running)
    spec = lab.engine.specs["shop.run.cron-1.v1"]
    assert (spec.command, spec.env["A"], spec.image_id) == (("./tick",), "1", "sha256:1")
    assert (spec.memory_bytes, spec.pids, spec.cpus) == (64 << 20, 50, None)
    [one] = lab.one_offs.one_offs(lab.store.app("shop"))
    assert (one.by, one.attached, round((one.ends_at or 0) - one.started_at)) == ("cron", False, 90)


@pytest.mark.parametrize(
    ("overlap", "first", "second"),
    [
        (Overlap.SKIP, ["running", "skipped"], ["ok", "skipped", "running"]),
        (Overlap.QUEUE, ["running", "queued", "skipped"], ["ok", "running", "skipped", "queued"]),
        (Overlap.REPLACE, ["replaced", "running"], ["replaced", "ok", "running"]),
        (Overlap.ALLOW, ["running", "running"], ["ok", "running", "running"]),
    ],
)
def test_overlap(lab: Lab, overlap: Overlap, first: list[str], second: list[str]) -> None:
    lab.add(replace(EVERY_MINUTE, overlap=overlap))
    lab.start()
    wait_until(lab.running)
    lab.pass_minutes(len(first) - 1)
    wait_until(lambda: lab.outcomes() == first and len(lab.running()) == first.count("running"))
    ends = next(run.id for run in lab.history() if run.outcome is CronOutcome.RUNNING)
    wait_until(
        lambda: next(run.container for run in lab.history() if run.id == ends)
    )  # written down once it has started
    lab.end(next(run.container for run in lab.history() if run.id == ends))
    if overlap is Overlap.QUEUE:
        wait_until(lambda: lab.running() == ["shop.run.cron-2.v1"])
    lab.pass_minutes(1)
    wait_until(lambda: lab.outcomes() == second and len(lab.running()) == second.count("running"))


def test_what_is_suspended_stopped_or_not_live_does_not_run(lab: Lab) -> None:
    lab.add(replace(EVERY_MINUTE, suspended=True))
    lab.start()
    lab.pass_minutes(1)
    lab.store.set_setting(lab.app.id, CRON_SUSPENDED("tick"), False)
    lab.store.set_setting(lab.app.id, STOPPED, True)
    lab.pass_minutes(1)
    assert lab.history() == []
    lab.store.set_setting(lab.app.id, STOPPED, None)
    lab.pass_minutes(1)
    wait_until(lab.running)
    assert [run.due_at for run in lab.history()] == [NOON + 180]


def test_one_that_waits_is_dropped_when_its_entry_is_gone_or_the_app_is_stopped(lab: Lab) -> None:
    entry = lab.add(replace(EVERY_MINUTE, overlap=Overlap.QUEUE))
    lab.start()
    wait_until(lab.running)
    lab.pass_minutes(1)
    lab.store.set_setting(lab.app.id, STOPPED, True)
    lab.end("shop.run.cron-1.v1")
    assert lab.outcomes() == ["ok", "skipped"]
    assert lab.history()[-1].reason == "the app was stopped"
    lab.store.set_setting(lab.app.id, STOPPED, None)
    lab.pass_minutes(2)
    wait_until(lab.running)
    lab.store.set_setting(lab.app.id, CRON(entry.name), None)
    lab.end("shop.run.cron-3.v1")
    assert lab.outcomes() == ["ok", "skipped", "ok", "skipped"]


def test_a_clock_that_jumps_makes_no_storm_and_runs_no_minute_twice(lab: Lab) -> None:
    lab.add(replace(EVERY_MINUTE, overlap=Overlap.ALLOW))
    lab.start()
    lab.pass_minutes(1)
    lab.clock.move(86_400)  # a day at once: only the last minute of it
    wait_until(lambda: len(lab.history()) == 3 and lab.clock.waiting.is_set())
    lab.clock.move(-86_400)  # and back: these minutes have had their runs
    wait_until(lambda: lab.clock.waiting.is_set())
    lab.pass_minutes(2)
    wait_until(lambda: len(lab.running()) == 5)
    assert [(run.due_at or 0) - NOON for run in lab.history()] == [0, 60, 86_460, 120, 180]


def test_minutes_that_come_again_when_the_clock_is_set_back_are_not_run_again(lab: Lab) -> None:
    lab.add(replace(EVERY_MINUTE, overlap=Overlap.ALLOW))
    lab.start()
    lab.pass_minutes(2)
    wait_until(lambda: len(lab.running()) == 3)
    lab.clock.move(-120)
    wait_until(lab.clock.waiting.is_set)
    lab.pass_minutes(3)
    wait_until(lambda: len(lab.running()) == 4)
    assert [(run.due_at or 0) - NOON for run in lab.history()] == [0, 60, 120, 180]


def test_an_entry_that_was_due_long_before_a_jump_is_passed_over(lab: Lab) -> None:
    lab.add(replace(EVERY_MINUTE, schedule="10 * * * *"))
    lab.start()
    lab.clock.move(10 * 60 + LATE_S)  # from 12:00:30 to 12:15:30
    wait_until(lab.clock.waiting.is_set)
    assert lab.history() == []
    lab.clock.move(59 * 60)  # 13:14:30: due 4.5 minutes ago
    wait_until(lab.clock.waiting.is_set)
    assert [run.due_at for run in lab.history()] == [NOON + 70 * 60]


def test_kill_9_never_runs_a_minute_twice_and_takes_up_what_runs(lab: Lab) -> None:
    lab.add()
    lab.start()
    wait_until(lab.running)
    lab.die()
    lab.store.set_cron_seen(0.0)  # killed right after the container's start, before the look was over
    lab.boot()
    lab.one_offs.settle(lab.engine.list({}))
    lab.start()  # in the same minute
    assert lab.outcomes() == ["running"]
    assert lab.running() == ["shop.run.cron-1.v1"]
    lab.end("shop.run.cron-1.v1", 4)
    assert [(run.outcome, run.exit_code) for run in lab.history()] == [(CronOutcome.FAILED, 4)]


def test_what_ended_while_gitship_was_down_gets_its_exit_code(lab: Lab) -> None:
    lab.add()
    lab.start()
    wait_until(lab.running)
    lab.die()
    lab.engine.end("id-shop.run.cron-1.v1", 0)
    lab.boot()
    lab.one_offs.settle(lab.engine.list({}))
    lab.wait_gone("shop.run.cron-1.v1")
    assert lab.outcomes() == ["ok"]


def test_what_has_no_container_any_more_does_not_run_for_ever(lab: Lab) -> None:
    lab.add(replace(EVERY_MINUTE, overlap=Overlap.QUEUE))
    lab.start()
    wait_until(lab.running)
    lab.pass_minutes(1)
    lab.die()
    lab.engine.remove("id-shop.run.cron-1.v1")
    claimed = lab.store.add_cron_run(lab.app.id, "other", CronOutcome.RUNNING, due_at=NOON)  # killed right after it
    assert claimed is not None
    lab.boot()
    lab.start()
    wait_until(lambda: lab.running() == ["shop.run.cron-2.v1"])  # what waited for it begins
    expected = [("tick", "failed"), ("tick", "running"), ("other", "failed")]
    wait_until(lambda: [(run.entry, str(run.outcome)) for run in lab.history()] == expected)
    assert "how it ended is unknown" in lab.history("tick")[0].reason
    assert lab.history("other")[0].reason == "gitship was stopped before it started"


def test_one_that_was_made_but_not_started_is_ended(lab: Lab) -> None:
    lab.add()
    lab.start()
    wait_until(lab.running)
    lab.die()
    lab.engine._become("id-shop.run.cron-1.v1", "created")
    lab.boot()
    lab.one_offs.settle(lab.engine.list({}))
    lab.runs.settle()
    assert (lab.outcomes(), lab.running()) == (["failed"], [])


def test_a_failure_is_told_on_the_bus_and_a_success_is_not(lab: Lab) -> None:
    entry = lab.add()
    with lab.bus.subscribe(lambda event: event.topic == TOPIC) as news:
        for code, oom in ((0, False), (137, True)):
            run = lab.runs.begin_now(lab.app, entry, ADA)
            lab.end(run.container, code, oom=oom)
        event = news.get(5)
        assert event is not None and event.app == "shop"
        assert event.text.startswith("tick (run 2) failed: exit code 137: killed, it exceeded its memory limit")
        assert news.get(0) is None


def test_what_was_looked_at_is_not_looked_at_again_after_a_restart(lab: Lab) -> None:
    lab.start()
    lab.die()
    lab.boot()
    lab.add()  # after its minute
    lab.start()
    assert lab.history() == []
    lab.pass_minutes(1)
    wait_until(lab.running)
    assert [run.due_at for run in lab.history()] == [NOON + 60]


def test_a_restart_does_not_lose_the_minute_in_which_it_happens(lab: Lab) -> None:
    lab.add(replace(EVERY_MINUTE, schedule="5 * * * *"))
    lab.start()
    lab.die()
    lab.clock.move(5 * 60)  # 12:05:30, and 12:05 was not looked at
    lab.boot()
    lab.start()
    wait_until(lab.running)
    lab.die()
    lab.clock.move(3600 + 60)  # 13:06:30: too late
    lab.boot()
    lab.start()
    assert [run.due_at for run in lab.history()] == [NOON + 300]


def test_time_up_and_a_removed_container_are_told_apart(lab: Lab) -> None:
    entry = lab.add(replace(EVERY_MINUTE, timeout_s=0.1))
    run = lab.runs.begin_now(lab.app, entry, ADA)
    lab.wait_gone(run.container)
    removed = lab.runs.begin_now(lab.app, replace(entry, timeout_s=60.0), ADA)
    lab.engine.remove(f"id-{removed.container}")
    lab.wait_gone(removed.container)
    wait_until(lambda: lab.outcomes() == ["timed out", "failed"])
    assert lab.history()[1].reason == "its container was removed"


def test_one_that_cannot_be_started_says_why(lab: Lab) -> None:
    entry = lab.add(replace(EVERY_MINUTE, overlap=Overlap.ALLOW))
    lab.engine.start_fails = True
    run = lab.runs.begin_now(lab.app, entry, ADA)
    assert (run.outcome, run.reason) == (CronOutcome.FAILED, "the engine is out of order")
    lab.engine.start_fails = False
    for _ in range(MOST_PER_APP):
        lab.runs.begin_now(lab.app, entry, ADA)
    over = lab.runs.begin_now(lab.app, entry, ADA)
    said = f"shop already has {MOST_PER_APP} one-off containers"
    assert over.outcome is CronOutcome.FAILED and said in over.reason


def test_by_hand_it_is_refused_while_it_runs_unless_it_may(lab: Lab) -> None:
    entry = lab.add()
    run = lab.runs.begin_now(lab.app, entry, ADA)
    assert (run.by, run.due_at) == ("ada", None)
    with pytest.raises(Conflict, match=r"tick of shop is already running \(run 1\)"):
        lab.runs.begin_now(lab.app, entry, ADA)
    other = lab.runs.begin_now(lab.app, replace(entry, overlap=Overlap.REPLACE), ADA)
    assert lab.outcomes() == ["replaced", "running"]
    assert lab.running() == [other.container]


def test_follow_hands_over_each_line_once_until_the_end(lab: Lab) -> None:
    run = lab.runs.begin_now(lab.app, lab.add(), ADA)
    lines: list[str] = []
    threading.Timer(0.1, lab.engine.end, (f"id-{run.container}", 2)).start()
    assert lab.runs.follow(run, lines.append, threading.Event()).exit_code == 2
    assert lines == ["hello from shop.run.cron-1.v1"]
    gone = threading.Event()
    gone.set()
    again = lab.runs.begin_now(lab.app, EVERY_MINUTE, ADA)
    assert lab.runs.follow(again, lines.append, gone).outcome is CronOutcome.RUNNING


def test_history_and_logs_are_kept_by_entry(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "KEPT_PER_ENTRY", 3)
    monkeypatch.setattr(runs, "KEPT", 2)
    entry = lab.add()
    rare = lab.runs.begin_now(lab.app, replace(entry, name="rare"), ADA)
    lab.end(rare.container)
    for _ in range(5):
        lab.end(lab.runs.begin_now(lab.app, entry, ADA).container)
    assert [run.number for run in lab.history("tick")] == [4, 5, 6]
    assert list(lab.runs.output(lab.history("tick")[0])) == []
    assert list(lab.runs.output(lab.history("rare")[0])) == [f"hello from {rare.container}"]


def test_an_app_that_is_destroyed_takes_its_runs_along(lab: Lab) -> None:
    run = lab.runs.begin_now(lab.app, lab.add(), ADA)
    app: App = lab.app
    lab.store.delete_app(app.id)
    lab.engine.end(f"id-{run.container}", 1)
    wait_until(lambda: not lab.engine.containers)
    assert lab.store.cron_runs(app.id) == []


def test_a_run_that_somebody_ended_is_not_ok(lab: Lab) -> None:
    lab.runs.begin_now(lab.app, lab.add(), ADA)
    [name] = lab.running()
    lab.one_offs.stop(lab.app, name, ADA)
    lab.wait_gone(name)
    [run] = lab.history()
    assert (str(run.outcome), run.reason) == ("stopped", "stopped by run:stop")
