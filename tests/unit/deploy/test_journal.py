from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitship.deploy import journal as journal_module
from gitship.deploy import output
from gitship.deploy.journal import DeployJournal, follow, hand_over
from gitship.events import Bus
from gitship.model import DeployKind, DeployState
from gitship.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "gitship.db")
    yield opened
    opened.close()


def make(store: Store, directory: Path, bus: Bus) -> DeployJournal:
    app = store.find_app("shop") or store.create_app("shop")
    return DeployJournal(store.create_deploy(app.id, DeployKind.PUSH, "me"), app, store, bus, directory / "logs")


def test_a_short_stage_prints_one_line_with_its_time(store: Store, tmp_path: Path) -> None:
    journal = make(store, tmp_path, Bus())
    with journal.stage(DeployState.STARTING, "Starting web x1"):
        assert store.deploy(journal.deploy.id).state is DeployState.STARTING
    (line,) = journal.path.read_text().splitlines()
    assert line.startswith("-----> Starting web x1") and line.endswith("s")
    assert [s.stage for s in journal.deploy.stages] == [DeployState.STARTING]
    journal.close()


def test_a_stage_with_details_shows_its_headline_before_them(store: Store, tmp_path: Path) -> None:
    journal = make(store, tmp_path, Bus())
    with journal.stage(DeployState.BUILDING, "Building Dockerfile") as stage:
        stage.detail("#5 RUN make", 1.0)
    first, second, third = journal.path.read_text().splitlines()
    assert first == "-----> Building Dockerfile"
    assert second.startswith("       #5 RUN make")
    assert third.startswith("       done")
    journal.close()


def test_what_a_long_stage_found_is_printed_when_it_ends(store: Store, tmp_path: Path) -> None:
    journal = make(store, tmp_path, Bus())
    with journal.stage(DeployState.CHECKING, "Checking") as stage:
        stage.show()
        stage.text = "Healthy: GET /healthz 200"
    first, second = journal.path.read_text().splitlines()
    assert first == "-----> Checking"
    assert second.startswith("       Healthy: GET /healthz 200") and second.endswith("s")
    journal.close()


def test_a_failed_stage_keeps_its_time(store: Store, tmp_path: Path) -> None:
    journal = make(store, tmp_path, Bus())
    with pytest.raises(ValueError, match="no"), journal.stage(DeployState.BUILDING, "Building Dockerfile"):
        raise ValueError("no")
    assert [s.stage for s in journal.deploy.stages] == [DeployState.BUILDING]
    journal.close()


def test_followers_see_every_line_once_whenever_they_come(store: Store, tmp_path: Path) -> None:
    bus = Bus()
    journal = make(store, tmp_path, bus)
    seen: list[list[str]] = [[] for _ in range(4)]

    def watch(lines: list[str]) -> None:
        over = journal.answered.is_set
        follow(journal.path, bus, journal.deploy.id, over, lines.append, threading.Event())

    threads = []
    for number in range(200):
        if number % 50 == 0:
            threads.append(threading.Thread(target=watch, args=(seen[number // 50],)))
            threads[-1].start()
        journal.line(f"line {number}")
    journal.close()
    for thread in threads:
        thread.join(10)
    assert seen == [[f"line {n}" for n in range(200)]] * 4


def test_a_line_of_a_build_stays_one_whatever_is_in_it(store: Store, tmp_path: Path) -> None:
    journal = make(store, tmp_path, Bus())
    seen: list[str] = []
    said = "one\u2028=====> https://elsewhere\u2029 two\x0b three\x0c four\x1c five\x85 six"
    journal.raw(said)
    journal.close()
    hand_over(journal.path, 0, seen.append)
    assert seen == [output.raw(said)]  # a push client is spared all of it, and gets no line that looks like gitship's


def test_a_follower_that_goes_away_ends_at_once(store: Store, tmp_path: Path) -> None:
    bus = Bus()
    journal = make(store, tmp_path, bus)
    gone = threading.Event()
    gone.set()
    follow(journal.path, bus, journal.deploy.id, lambda: False, lambda line: None, gone)
    journal.close()


def test_a_full_disk_costs_the_line_and_not_the_deploy(store: Store, tmp_path: Path) -> None:
    journal = make(store, tmp_path, Bus())
    journal._file.close()
    journal._file = Path("/dev/full").open("a")  # noqa: SIM115 (the journal closes it)
    with journal.stage(DeployState.STARTING, "Starting web x1"):
        journal.line("told")
    journal.close()
    assert journal.ended.is_set()


def test_what_an_app_says_cannot_make_a_line_two(store: Store, tmp_path: Path) -> None:
    journal = make(store, tmp_path, Bus())
    journal.line("sick\n=====> http://shop.example.com   v9 in 0.1s\n")
    journal.close()
    journal.line("later\n=====> v9")
    assert journal.path.read_text().split("\n") == [
        "sick =====> http://shop.example.com   v9 in 0.1s",
        "later =====> v9",
        "",
    ]


def test_a_silent_stage_says_what_it_is_at(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "HEADLINE_AFTER_S", 0.01)
    monkeypatch.setattr(journal_module, "SILENCE_S", 0.05)
    bus = Bus()
    journal = make(store, tmp_path, bus)
    with (
        bus.subscribe(lambda event: event.topic == "deploy.line") as news,
        journal.stage(DeployState.BUILDING, "Building Dockerfile") as stage,
    ):
        stage.now = lambda: "#7 RUN pip wheel .: Building wheel for numpy"
        for _ in range(3):  # the headline, then twice the same
            assert news.get(timeout_s=10) is not None
    lines = journal.path.read_text().splitlines()
    assert lines[0] == "-----> Building Dockerfile"
    assert lines[1].startswith("       #7 RUN pip wheel .: Building wheel for numpy") and lines[1].endswith("s")
    assert lines[2][:55] == lines[1][:55]
    journal.close()


def test_a_stage_that_says_something_is_not_silent(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "SILENCE_S", 0.0)
    journal = make(store, tmp_path, Bus())
    with journal.stage(DeployState.BUILDING, "Building Dockerfile") as stage:
        monkeypatch.setattr(journal_module, "SILENCE_S", 1000.0)
        stage.detail("#5 RUN make")
        stage.show()
        stage.look()
    assert [line[:18] for line in journal.path.read_text().splitlines()] == [
        "-----> Building Do", "       #5 RUN make", "       done       "
    ]  # fmt: skip
    journal.close()
