"""One try of each check, as `checks:run` makes it."""

from __future__ import annotations

import threading
import time

from gitship.containers.health_check import HealthChecker, title, unchecked
from gitship.engine.docker import DockerEngine
from gitship.engine.types import ContainerState
from gitship.errors import NotFound
from gitship.model import Check, Container, Process

CONTAINER = Container("1", "shop.worker.1.v1", 1, 1, "worker", 1, "127.0.0.1", None)
WORKER = Process("worker", checks=(Check(kind="uptime", uptime_s=3), Check(kind="command", command=("look", "here"))))


class OneContainer(DockerEngine):
    """It has run for ``up_s`` seconds and been restarted once; None: it is gone."""

    def __init__(self, up_s: float | None, status: str = "running", code: int = 0) -> None:
        super().__init__("unix:///nowhere")
        self._up_s, self._status, self._code = up_s, status, code

    def inspect(self, container_id: str) -> ContainerState:
        if self._up_s is None:
            raise NotFound("gone")
        return ContainerState(container_id, "c", {}, self._status, restarts=1, started_at=time.time() - self._up_s)

    def exec(
        self, container_id: str, command: tuple[str, ...], timeout_s: float, events: tuple[threading.Event, ...] = ()
    ) -> tuple[int, str]:
        return self._code, "what it said"


def looks(engine: OneContainer) -> list[tuple[str, bool]]:
    return [(look.check, look.passed) for look in HealthChecker(engine, 1).look(CONTAINER, WORKER, "shop")]


def test_every_check_is_tried_though_one_before_it_failed() -> None:
    assert looks(OneContainer(10)) == [("up for 3 s", True), ("look here", True)]
    assert looks(OneContainer(1)) == [("up for 3 s", False), ("look here", True)]
    assert looks(OneContainer(10, code=2)) == [("up for 3 s", True), ("look here", False)]


def test_a_container_that_does_not_run_passes_nothing() -> None:
    assert looks(OneContainer(10, "exited")) == [("up for 3 s", False), ("look here", False)]
    assert looks(OneContainer(None)) == [("up for 3 s", False), ("look here", False)]


def test_checks_have_names() -> None:
    assert title(Check(path="/up", port=90)) == "GET /up on port 90"
    assert title(Check(kind="listening")) == "listening"
    assert title(Check(kind="image", command=("x",))) == "HEALTHCHECK"


def test_what_is_skipped_leaves_the_rest_of_the_process_alone() -> None:
    process = unchecked(Process("web", port=80, checks=(Check(),)))
    assert process.port == 80 and [check.kind for check in process.checks] == ["uptime"]
