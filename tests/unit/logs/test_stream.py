"""The logs of a release, read in the very instant in which its container goes: by Docker or by the file, never half."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, cast

import pytest

from gitship.containers.container_starter import ContainerStarter
from gitship.engine.addresses import Addresses
from gitship.engine.interface import Engine
from gitship.engine.types import ContainerState, LogLine
from gitship.errors import NotFound
from gitship.events import Bus
from gitship.logs.archive import LogArchive
from gitship.logs.stream import LogReader, LogSelection
from gitship.model import Process
from gitship.store import Store
from tests.unit.memory.hooked_engine import HookedEngine

PRINTED = [f"line {n}" for n in range(6)]
LAST_WORDS = "bye"  # on SIGTERM


class Talking(HookedEngine):
    """Its container prints, and says a last word when it is stopped. ``at[point]`` is called once, at that point."""

    def __init__(self) -> None:
        super().__init__()
        self.printed = list(PRINTED)
        self.at: dict[str, Callable[[], None]] = {}
        self.removing = False

    def _reached(self, point: str) -> None:
        self.at.pop(point, lambda: None)()

    def stop(self, container_id: str, timeout_s: float) -> None:
        if self.inspect(container_id).status == "running":
            self.printed.append(LAST_WORDS)
        super().stop(container_id, timeout_s)

    def list(self, labels: Any) -> Any:
        found = super().list(labels)
        self._reached("listed")
        return found

    def inspect(self, container_id: str) -> ContainerState:
        found = super().inspect(container_id)
        return replace(found, status="removing") if self.removing else found

    def logs(self, container_id: str, **how: object) -> Iterator[LogLine]:
        self.inspect(container_id)  # as the real one does
        return self._read(container_id)

    def _read(self, container_id: str) -> Iterator[LogLine]:
        self._reached("asked")
        if self.inspect(container_id).status == "removing":
            raise NotFound("no container")
        for n, text in enumerate(list(self.printed)):
            yield LogLine("shop.web.1.v1", 1_700_000_000.0 + n, "stdout", text)
            if n == 2:
                self._reached("half")
                if container_id not in self.containers or self.removing:
                    return  # cut short with the container
        self._reached("read")


class Bench:
    """An app with one live container, and readers of its logs."""

    def __init__(self, directory: Path) -> None:
        self.store = Store(directory / "gitship.db")
        self.engine = Talking()
        engine = cast(Engine, self.engine)
        app = self.store.create_app("shop")
        release = self.store.create_release(
            app.id, commit="1a" * 20, image_id="sha256:1", image_bytes=1, config={},
            processes=(Process("web", port=5000),), cause="push", created_by="ada",
        )  # fmt: skip
        self.kept = LogArchive(self.store, engine, directory / "logs", 5)
        server_id = self.store.server_id()
        addresses = Addresses(self.store, engine, IPv4Network("10.9.0.0/20"), server_id)
        self.starter = ContainerStarter(engine, addresses, self.kept, server_id, self.store)
        self.tails = LogReader(self.store, Bus(), engine, self.kept)
        [made] = self.starter.start(app, release, [(release.processes[0], 1)], 0, threading.Event(), {})
        self.container = replace(made, id="c0ffee" * 10)
        self.engine.containers = {
            self.container.id: replace(self.engine.containers[made.id], id=self.container.id, status="running")
        }
        self.store.set_live(app.id, release.id, [self.container])

    def retire(self) -> None:
        self.starter.retire(self.store.app("shop"), [(self.container, 1.0)])

    def of_release(self) -> list[str]:
        app = self.store.app("shop")
        return [line.text for line in self.tails.of_release(app, 1, LogSelection(), threading.Event())]

    def past(self) -> list[str]:
        return [line.text for line in self.tails.past(self.store.app("shop"), LogSelection(), threading.Event())]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.store.close()


@pytest.mark.parametrize("point", ["listed", "asked", "half", "read"])
def test_a_release_whose_container_goes_while_it_is_read_is_read_from_what_was_kept(bench: Bench, point: str) -> None:
    bench.engine.at[point] = bench.retire
    assert bench.of_release() == [*PRINTED, LAST_WORDS]
    assert bench.engine.containers == {} and bench.engine.at == {}


@pytest.mark.parametrize("point", ["asked", "half"])
def test_so_is_a_live_one(bench: Bench, point: str) -> None:
    bench.engine.at[point] = bench.retire
    assert bench.past() == [*PRINTED, LAST_WORDS]


@pytest.mark.parametrize("point", ["asked", "half"])
def test_docker_gives_no_log_while_it_removes_a_container(bench: Bench, point: str) -> None:
    """Its removal takes a while, in which the container is still there."""
    reached, removed = threading.Event(), threading.Event()

    def removing(about: object) -> None:
        bench.engine.removing = True
        reached.set()
        assert removed.wait(10)

    bench.engine.before["remove"] = removing
    ending = threading.Thread(target=bench.retire, daemon=True)

    def goes() -> None:
        ending.start()
        assert reached.wait(10)

    bench.engine.at[point] = goes
    assert bench.of_release() == [*PRINTED, LAST_WORDS]
    removed.set()
    ending.join(10)
    assert bench.engine.containers == {}


def test_one_whose_file_stands_already_but_that_is_still_there_is_read_itself(bench: Bench) -> None:
    """A gitship that was killed between the two has kept it before the container printed more."""
    bench.kept.keep(bench.container)
    bench.engine.printed.append("more")
    assert bench.of_release() == [*PRINTED, "more"]


def test_where_nothing_could_be_kept_what_was_read_is_shown(bench: Bench) -> None:
    bench.engine.at["half"] = lambda: bench.engine.remove(bench.container.id)
    assert bench.of_release() == PRINTED[:3]


def test_an_app_that_is_renamed_while_it_is_read_is_found_by_its_new_name(bench: Bench) -> None:
    def renamed() -> None:
        bench.retire()
        bench.store.rename_app(bench.container.app_id, "store")

    bench.engine.at["asked"] = renamed
    assert bench.of_release() == [*PRINTED, LAST_WORDS]


def test_what_a_container_says_until_it_is_killed_is_kept_also_when_it_is_removed_at_once(bench: Bench) -> None:
    bench.starter.remove(bench.store.app("shop"), [bench.container])
    assert bench.of_release() == [*PRINTED, LAST_WORDS]
