"""The logs of containers that are gone: bounded, whole or not there, and of nobody but their app."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gitship.config import Settings
from gitship.engine.docker import DockerEngine
from gitship.engine.types import LogLine
from gitship.errors import EngineError
from gitship.logs import archive, directories
from gitship.logs.archive import LogArchive
from gitship.model import Container
from gitship.store import Store


class Spoken(DockerEngine):
    """Each container has printed the lines that a test gives."""

    def __init__(self) -> None:
        super().__init__("unix:///nowhere")
        self.lines: list[tuple[str, str]] = []
        self.error: Exception | None = None

    def logs(self, container_id: str, *, tail: int | None = None, **more: Any) -> Iterator[LogLine]:
        if self.error:
            raise self.error
        lines = self.lines if tail is None else self.lines[-tail:]
        return iter([LogLine("c", 1_700_000_000.25 + n, stream, text) for n, (stream, text) in enumerate(lines)])


class Bench:
    def __init__(self, directory: Path) -> None:
        self.settings = Settings(data_dir=directory)
        self.store = Store(self.settings.database)
        self.app = self.store.create_app("shop")
        self.engine = Spoken()
        self.kept = LogArchive(self.store, self.engine, self.settings.logs, keep_releases=3)
        self._count = 0

    def keep(self, release: int, lines: Iterable[str] = ("x",)) -> Container:
        """A container of that release ends; each has an id of its own and a later time than those before."""
        self._count += 1
        self.engine.lines = [("stdout", text) for text in lines]
        container = Container(f"{self._count:012x}ffff", f"shop.web.1.v{release}", self.app.id, 1, "web", 1,
                              "", None)  # fmt: skip
        self.kept.keep(container)
        for path in self.files(f"v{release}.web.1.*-{self._count:012x}.*"):
            os.utime(path, (self._count, self._count))
        return container

    def files(self, pattern: str = "*") -> list[Path]:
        return sorted((directories.directory(self.settings.logs, self.app.id) / "releases").glob(pattern))

    def texts(self, release: int) -> list[str]:
        return [line.text for kept in self.kept.of_release(self.app, release) for line in kept.lines(self.app)]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.store.close()


def test_lines_come_back_as_they_were(bench: Bench) -> None:
    odd = ["plain", "", "with  spaces ", "\x1b[31mred\x0b\u2028\x85", "a\rb", "é" * 3000]
    bench.keep(1, odd)
    bench.engine.lines = [("stderr", "oops")]
    bench.kept.keep(Container("b" * 64, "shop.worker.2.v1", bench.app.id, 1, "worker", 2, "", None))
    lines = [line for kept in bench.kept.of_release(bench.app, 1) for line in kept.lines(bench.app)]
    assert [line.text for line in lines] == [*odd, "oops"]
    assert lines[-1] == LogLine("shop.worker.2.v1", 1_700_000_000.25, "stderr", "oops")


def test_keeping_twice_is_keeping_once(bench: Bench) -> None:
    container = bench.keep(1, ["one"])
    bench.kept.keep(container)
    assert bench.texts(1) == ["one"]


def test_only_the_last_lines_and_bytes_are_kept(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.keep(1, map(str, range(archive.MOST_LINES + 7)))
    assert bench.texts(1)[0] == "7"
    monkeypatch.setattr(archive, "MOST_BYTES", 1000)
    bench.keep(2, [f"{n:0100}" for n in range(50)])
    assert [int(text) for text in bench.texts(2)] == list(range(42, 50))


def test_the_newest_releases_are_kept(bench: Bench) -> None:
    for release in (1, 2, 3, 3, 4, 9):
        bench.keep(release, [f"v{release}"])
    assert bench.kept.releases(bench.app) == [9, 4, 3]
    assert bench.texts(3) == ["v3", "v3"]


def test_an_app_that_restarts_without_end_does_not_fill_the_disk(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_FILES", 4)
    for n in range(9):
        bench.keep(1, [str(n)])
    assert bench.texts(1) == ["5", "6", "7", "8"]
    monkeypatch.setattr(archive, "MOST_KEPT_BYTES", 2 * bench.files()[0].stat().st_size)
    bench.keep(1, ["9"])
    assert bench.texts(1) == ["8", "9"]


def test_a_renamed_apps_logs_stay_together(bench: Bench) -> None:
    bench.keep(1)
    bench.store.rename_app(bench.app.id, "store")
    bench.keep(1)
    assert [p.name for p in bench.settings.logs.iterdir()] == [f"app_{bench.app.id}"]
    assert bench.texts(1) == ["x", "x"]


def test_of_an_app_that_is_gone_nothing_is_kept_and_another_of_its_name_sees_nothing(bench: Bench) -> None:
    bench.keep(1, ["secret"])
    old = bench.app
    bench.store.delete_app(old.id)
    bench.kept.keep(Container("c" * 64, "shop.web.1.v2", old.id, 1, "web", 1, "", None))
    assert [p.name[:3] for p in bench.files()] == ["v1."]
    bench.app = bench.store.create_app("shop")
    assert bench.texts(1) == []
    bench.keep(1, ["own"])
    assert bench.texts(1) == ["own"]
    assert len(bench.files()) == 1


def test_what_goes_wrong_holds_up_nobody_and_leaves_nothing(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.engine.error = EngineError("Docker is down")
    bench.keep(1)
    bench.engine.error = None
    place = directories.directory(bench.settings.logs, bench.app.id)
    place.mkdir(parents=True)
    (place / "releases").write_text("in the way")
    bench.keep(1)
    assert [r.message.partition(":")[0] for r in caplog.records] == ["the log of shop.web.1.v1 is not kept"] * 2
    assert not list(bench.settings.logs.glob(".*"))


def test_a_log_that_does_not_end_is_kept_as_far_as_it_came(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(container_id: str, *, stop: threading.Event, **more: Any) -> Iterator[LogLine]:
        yield LogLine("c", 1_700_000_000.0, "stdout", "begins")
        assert stop.wait(30)

    monkeypatch.setattr(archive, "LIMIT_S", 0.1)
    monkeypatch.setattr(bench.engine, "logs", endless)
    bench.keep(1)
    assert bench.texts(1) == ["begins"]


def test_a_file_that_a_killed_gitship_left_half_written_goes_at_the_next_start(bench: Bench) -> None:
    bench.keep(1)
    (bench.settings.logs / f"{archive._UNFINISHED}abc").write_bytes(b"half")
    bench.kept.sweep()
    assert [p.name for p in bench.settings.logs.iterdir()] == [f"app_{bench.app.id}"]
    assert bench.texts(1) == ["x"]


def test_of_a_damaged_file_the_rest_is_read(bench: Bench) -> None:
    bench.keep(1, map(str, range(1000)))
    bench.files()[0].write_bytes(bench.files()[0].read_bytes()[:-20])
    assert bench.texts(1)[:1] == ["0"] or bench.texts(1) == []
    bench.files()[0].write_bytes(b"no gzip")
    assert bench.texts(1) == []
