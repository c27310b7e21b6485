"""When gitship starts a container again that has ended: Docker's pauses, and no end of them for who asks in vain."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitship.containers.restart_delays import AGAIN_S, LONGEST_S, STEADY_S, Restarts
from gitship.errors import NotFound
from gitship.model import Container, Process
from gitship.store import Store


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "gitship.db")
    yield opened
    opened.close()


def test_the_pauses_double_up_to_a_minute_and_a_steady_run_ends_them(store: Store) -> None:
    clock = Clock()
    restarts = Restarts(store, clock)
    assert restarts.next_s() == math.inf
    assert restarts.due("web")  # nobody knows of an earlier end
    pauses = []
    for _ in range(11):
        restarts.started("web")
        assert restarts.next_s() == math.inf
        began = clock.now
        while not restarts.due("web"):
            clock.now += restarts.next_s()
        pauses.append(round(clock.now - began, 3))
    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, LONGEST_S, LONGEST_S]
    restarts.started("web")
    clock.now += STEADY_S
    assert restarts.due("web")


def test_what_cannot_be_started_is_due_again_in_a_moment_and_not_at_once(store: Store) -> None:
    clock = Clock()
    restarts = Restarts(store, clock)
    assert restarts.due("web")
    restarts.put_off("web")
    assert not restarts.due("web") and restarts.next_s() == AGAIN_S
    clock.now += AGAIN_S
    assert restarts.due("web")


def test_what_somebody_else_has_started_or_is_gone_is_waited_for_no_more(store: Store) -> None:
    restarts = Restarts(store, Clock())
    for name in ("web", "worker", "down"):
        restarts.put_off(name)
    restarts.look(live={"web", "down"}, down={"down"})
    assert restarts.next_s() == AGAIN_S
    restarts.look(live={"web"}, down=set())
    assert restarts.next_s() == math.inf


def test_nothing_of_a_container_that_is_gone_is_remembered(store: Store) -> None:
    app = store.create_app("shop")
    release = store.create_release(
        app.id, commit="1a" * 20, image_id="i", image_bytes=1, config={}, processes=(Process("web"),), cause="push",
        created_by="ada",
    )  # fmt: skip
    container = Container("web", "shop.web.1.v1", app.id, release.id, "web", 1, "10.0.0.2", 5000)
    restarts = Restarts(store)
    assert not restarts.attends(container)
    store.delete_app(app.id)
    restarts.look(live={"web"}, down=set())
    assert not restarts.attends(container)
    restarts.look(live=set(), down=set())
    with pytest.raises(NotFound):
        restarts.attends(container)
