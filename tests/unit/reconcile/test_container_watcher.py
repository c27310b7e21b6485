"""What Docker tells becomes one event per happening, told once; what gitship itself ends is none."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gitship.engine.docker import DockerEngine
from gitship.engine.types import ContainerState, EngineEvent, Usage
from gitship.errors import NotFound
from gitship.events import Bus, Event, Subscription
from gitship.model import Container, ContainerEventKind, Process
from gitship.reconcile.container_watcher import ContainerWatcher, exit_cause
from gitship.reconcile.outages import Outages
from gitship.store import Store
from gitship.store.container_events import KEPT_PER_APP

T = 2_000_000_000.0  # after everything that the test itself does


class Telling(DockerEngine):
    """Tells the events that a test gives, all that are not before ``since``, as Docker does; then the stream ends."""

    def __init__(self) -> None:
        super().__init__("unix:///nowhere")
        self.told: list[EngineEvent] = []
        self.restarts = 0
        self.finished_at: float | None = T

    def events(
        self, labels: Mapping[str, str], *, since: float, until: float | None = None, stop: threading.Event
    ) -> Iterator[EngineEvent]:
        return iter([e for e in self.told if since <= e.at and (until is None or e.at <= until)])

    def inspect(self, container_id: str) -> ContainerState:
        if container_id == "gone":
            raise NotFound("no container")
        return ContainerState(
            container_id, "", {}, "running", restarts=self.restarts, started_at=T + 50, finished_at=self.finished_at
        )


class Bench:
    """An app with two live containers, and a watcher that can be killed and started again."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "gitship.db"
        self.store = Store(self.path)
        self.app = self.store.create_app("shop")
        release = self.store.create_release(
            self.app.id, commit=None, image_id="i", image_bytes=1, config={},
            processes=(Process("web", memory_bytes=256 << 20), Process("worker")), cause="push", created_by="ada",
        )  # fmt: skip
        self.live = [
            Container("w1", "shop.web.1.v1", self.app.id, release.id, "web", 1, "10.0.0.1", 5000),
            Container("k1", "shop.worker.1.v1", self.app.id, release.id, "worker", 1, "10.0.0.2", None),
        ]
        self.store.set_live(self.app.id, release.id, self.live)
        self.engine = Telling()
        self.store.set_events_seen_until(T)
        self.start()

    def start(self) -> None:
        """As the next gitship."""
        bus = Bus()
        self.news: Subscription = bus.subscribe()
        self.watcher = ContainerWatcher(self.store, bus, self.engine, Outages())

    def tell(self, *events: EngineEvent) -> None:
        self.engine.told += events
        self.watcher._listen()

    @property
    def texts(self) -> list[str]:
        return [f"{e.container} {e.text}" for e in self.store.container_events(self.app.id)]

    def published(self) -> list[Event]:
        found = []
        while event := self.news.get(0):
            found.append(event)
        return found


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.store.close()


def at(seconds: float, action: str, container: str = "w1", **more: Any) -> EngineEvent:
    return EngineEvent(T + seconds, action, container, "", {}, **more)


CRASH = at(1, "die", exit_code=3), at(2, "start")


def test_a_crash_is_told_with_its_exit_code_and_which_time_it_is(bench: Bench) -> None:
    bench.tell(*CRASH, at(3, "die", exit_code=139))
    assert bench.texts == [
        "shop.web.1.v1 crashed: exit code 3, restarting (1st time)",
        "shop.web.1.v1 crashed: exit code 139 (SIGSEGV), restarting (2nd time)",
    ]
    first = bench.published()[0]
    assert (first.topic, first.app, first.at) == ("container.crashed", "shop", T + 1)
    assert first.happening == bench.store.container_events(bench.app.id)[0]


def test_what_is_stopped_is_no_crash(bench: Bench) -> None:
    bench.tell(at(1, "kill", signal=15), at(2, "kill", signal=9), at(3, "die", exit_code=137))
    assert bench.texts == []


def test_a_signal_that_ends_nothing_makes_a_later_crash_no_stop(bench: Bench) -> None:
    bench.tell(at(1, "kill", signal=1), at(9, "die", exit_code=1))
    assert bench.texts == ["shop.web.1.v1 crashed: exit code 1, restarting (1st time)"]


def test_what_is_not_live_is_nobodys_concern(bench: Bench) -> None:
    bench.tell(at(1, "die", "old", exit_code=1), at(2, "start", "old"), at(3, "oom", "old"))
    assert bench.texts == []


def test_out_of_memory_names_the_limit_and_is_one_event_with_the_end(bench: Bench) -> None:
    bench.tell(at(1, "oom"), at(1.1, "die", exit_code=137), at(2, "start"))
    assert bench.texts == ["shop.web.1.v1 killed: out of memory (limit 256 MB), restarting (1st time)"]
    assert [e.topic for e in bench.published()] == ["container.oom"]


def test_a_childs_end_by_out_of_memory_is_told_though_the_container_runs_on(bench: Bench) -> None:
    bench.tell(at(1, "oom"), at(1.1, "oom"), at(60, "oom"), at(61, "oom", "k1"))
    assert bench.texts == [
        "shop.web.1.v1 killed: out of memory (limit 256 MB)",
        "shop.web.1.v1 killed: out of memory (limit 256 MB)",
        "shop.worker.1.v1 killed: out of memory",
    ]


def test_a_childs_end_and_then_the_containers_own_are_two(bench: Bench) -> None:
    bench.tell(at(1, "oom"), at(3, "oom"), at(3.02, "die", exit_code=137))
    assert [e.exit_code for e in bench.store.container_events(bench.app.id)] == [None, 137]


def test_an_end_of_its_own_choice_after_a_child_was_killed_is_a_crash(bench: Bench) -> None:
    bench.tell(at(1, "oom"), at(1.5, "die", exit_code=1))
    assert [e.kind for e in bench.store.container_events(bench.app.id)] == ["oom", "crashed"]


def test_each_out_of_memory_of_a_crash_loop_is_told(bench: Bench) -> None:
    for n in range(3):
        bench.tell(at(n, "oom"), at(n + 0.1, "die", exit_code=137), at(n + 0.5, "start"))
    events = bench.store.container_events(bench.app.id)
    assert [e.deaths for e in events if e.exit_code is not None] == [1, 2, 3]
    assert [e.text for e in events if e.kind is ContainerEventKind.CRASH_LOOP] == [
        "crash loop: crashed 3 times within 2 s; it is restarted after increasing delays, up to 60 s"
    ]


def test_out_of_memory_names_the_peak_where_the_kernel_tells_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.engine, "usage", lambda container: Usage(0.0, 0.0, 1, None, 255 << 20))
    bench.tell(at(1, "oom"))
    assert bench.texts == ["shop.web.1.v1 killed: out of memory (limit 256 MB, peak 255 MB)"]


def test_a_new_container_has_not_restarted(bench: Bench) -> None:
    bench.tell(at(1, "create"), at(2, "start"))
    bench.engine.finished_at = None
    bench.tell(at(3, "start", "k1"))  # on a busy engine Docker has forgotten its making, and not its start
    assert bench.texts == []


@pytest.mark.parametrize("before", [[at(1, "kill", signal=9), at(1, "die", exit_code=137)], []], ids=["seen", "unseen"])
def test_a_start_that_no_crash_explains_is_a_restart(bench: Bench, before: list[EngineEvent]) -> None:
    bench.tell(*before, at(9, "start"))
    assert bench.texts == ["shop.web.1.v1 restarted: it was stopped, or Docker was restarted; it is running again"]


def test_only_a_bad_health_is_told(bench: Bench) -> None:
    bench.tell(at(1, "health_status", health="healthy"), at(2, "health_status", health="unhealthy"))
    assert bench.texts == ["shop.web.1.v1 unhealthy: the image's HEALTHCHECK fails"]


def test_a_new_connection_doubles_nothing(bench: Bench) -> None:
    bench.tell(*CRASH, at(3, "oom"), at(3.1, "die", exit_code=137))
    before = bench.texts
    for _ in range(3):
        bench.tell()
    assert bench.texts == before
    assert len(bench.published()) == 2


@pytest.mark.parametrize("killed_after", range(1, 6))
def test_the_next_gitship_takes_up_where_a_killed_one_stopped(bench: Bench, killed_after: int) -> None:
    events = [*CRASH, at(3, "oom"), at(3.1, "die", exit_code=137), at(4, "start"), at(5, "die", exit_code=1)]
    bench.tell(*events[:killed_after])
    bench.start()
    bench.tell(*events[killed_after:])
    assert bench.texts == [
        "shop.web.1.v1 crashed: exit code 3, restarting (1st time)",
        "shop.web.1.v1 killed: out of memory (limit 256 MB), restarting (2nd time)",
        "shop.web.1.v1 crashed: exit code 1, restarting (3rd time)",
        "shop.web.1.v1 crash loop: crashed 3 times within 4 s; it is restarted after increasing delays, up to 60 s",
    ]


def test_crashes_that_docker_has_forgotten_are_counted_once(bench: Bench) -> None:
    bench.tell(*CRASH)
    bench.engine.told.clear()
    bench.engine.restarts = 4
    bench.store.set_live(bench.app.id, bench.live[0].release_id, [bench.live[0], replace(bench.live[1], id="gone")])
    for _ in range(2):
        bench.start()
        bench.tell()
    assert bench.texts[1:] == ["shop.web.1.v1 crashed: 3 times while gitship was not watching"]


def test_the_newest_are_kept_and_those_of_other_apps_untouched(bench: Bench) -> None:
    other = bench.store.create_app("other")
    bench.watcher._record(Container("o", "other.web.1.v1", other.id, bench.live[0].release_id, "web", 1, "", None),
                          T, ContainerEventKind.CRASHED, "exit code 1", 1, 1)  # fmt: skip
    with bench.store.transaction():
        for n in range(KEPT_PER_APP + 5):
            bench.watcher._record(bench.live[0], T + n, ContainerEventKind.CRASHED, f"{n}", 1, n)
    events = bench.store.container_events(bench.app.id)
    assert (len(events), events[0].detail) == (KEPT_PER_APP, "5")
    assert len(bench.store.container_events(other.id)) == 1


def test_an_exit_code_is_named_where_it_is_a_signal() -> None:
    assert [exit_cause(code) for code in (0, 3, 137, 255)] == [
        "exit code 0", "exit code 3", "exit code 137 (SIGKILL)", "exit code 255",
    ]  # fmt: skip


def test_a_clock_that_was_set_back_hides_no_crash(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.store.set_events_seen_until(T + 3600)
    bench.start()
    monkeypatch.setattr("gitship.reconcile.container_watcher.time.time", lambda: T + 10)
    bench.tell(at(10.1, "die", exit_code=3), at(10.2, "start"))
    assert bench.texts == ["shop.web.1.v1 crashed: exit code 3, restarting (1st time)"]
    bench.tell(at(10.3, "die", exit_code=4))
    assert len(bench.texts) == 2


def test_a_docker_that_is_back_before_anybody_met_an_error_was_away_all_the_same(bench: Bench) -> None:
    asked: list[bool] = []
    bench.watcher.on_change(lambda *, whole: asked.append(whole))
    bench.watcher._listen()  # its stream ends in order, as when Docker is shut down
    assert asked == []
    bench.watcher._listen()
    assert asked == [True]
