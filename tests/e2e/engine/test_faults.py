"""What becomes of calls when Docker is down, hangs, or goes away in the middle; on an engine of its own."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from gitship.engine.docker import DockerEngine
from gitship.engine.types import BuildOptions, BuildOutput, BuildStep
from gitship.errors import EngineError
from tests.e2e.engine.context import BASE, context
from tests.e2e.engine.isolated_docker import IsolatedEngine, isolated_engine

pytestmark = pytest.mark.e2e
TIMEOUT_S = 2.0


@pytest.fixture(scope="module")
def own() -> Iterator[IsolatedEngine]:
    with isolated_engine() as own:
        yield own


@pytest.fixture
def engine(own: IsolatedEngine) -> DockerEngine:
    return DockerEngine(own.host, timeout_s=TIMEOUT_S)


def failing(call: Callable[[], object]) -> tuple[EngineError, float]:
    """The error, and the seconds that it took."""
    began = time.monotonic()
    with pytest.raises(EngineError) as caught:
        call()
    return caught.value, time.monotonic() - began


def test_a_docker_that_went_down_and_came_back_is_used_again(own: IsolatedEngine, engine: DockerEngine) -> None:
    engine.ping()
    own.stop()
    try:
        error, _ = failing(engine.ping)
        assert "is it running" in error.message
        assert "systemctl start docker" in error.hint
    finally:
        own.start()
    engine.ping()
    assert engine.list({}) == []


def test_events_end_with_an_error_when_docker_goes_down_and_can_be_had_again(
    own: IsolatedEngine, engine: DockerEngine
) -> None:
    engine.ping()
    stream = engine.events({}, since=time.time(), stop=threading.Event())
    timer = threading.Timer(0.5, own.stop)
    timer.start()
    try:
        error, _ = failing(lambda: list(stream))
        # newer engines take no calls any more while they end, and keep streams open until then
        assert "broke off" in error.message or "is it running" in error.message
    finally:
        timer.join()
        own.start()
    assert list(engine.events({}, since=time.time() - 60, until=time.time(), stop=threading.Event())) == []


def test_a_docker_that_hangs_is_an_engine_error_within_the_time_out(own: IsolatedEngine, engine: DockerEngine) -> None:
    engine.ping()
    os.kill(own.pid, signal.SIGSTOP)
    try:
        calls: list[Callable[[], object]] = [
            engine.ping,
            lambda: engine.list({}),
            lambda: engine.inspect("x"),
            lambda: engine.images.build(context(BASE), BuildOptions("x"), print, threading.Event()),
        ]
        for call in calls:
            error, seconds = failing(call)
            assert "does not answer in time" in error.message
            assert seconds > TIMEOUT_S * 0.9
    finally:
        os.kill(own.pid, signal.SIGCONT)
    engine.ping()


def test_a_docker_that_hangs_during_a_build_is_noticed_before_the_builds_own_limit(
    own: IsolatedEngine, engine: DockerEngine
) -> None:
    def stop_it(event: BuildStep | BuildOutput) -> None:
        os.kill(own.pid, signal.SIGSTOP)

    try:
        options = BuildOptions("x", timeout_s=1e6)
        error, _ = failing(lambda: engine.images.build(context(BASE), options, stop_it, threading.Event()))
        assert "does not answer in time" in error.message
    finally:
        os.kill(own.pid, signal.SIGCONT)


def test_a_docker_that_is_killed_during_a_build_is_an_engine_error(own: IsolatedEngine, engine: DockerEngine) -> None:
    """The last test here: this engine does not come back."""
    seen: list[BuildStep | BuildOutput] = []

    def kill_it(event: BuildStep | BuildOutput) -> None:
        if not seen:
            own.kill9()
        seen.append(event)

    error, _ = failing(lambda: engine.images.build(context(BASE), BuildOptions("x"), kill_it, threading.Event()))
    assert seen
    assert "broke off" in error.message or "is it running" in error.message
    assert error.hint
