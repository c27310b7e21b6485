"""A server on which something is killed at exact points of a deploy, an app on it, and its visitors all the time."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import apps
from tests.e2e.agreement import await_agreement
from tests.e2e.forks import Forks
from tests.e2e.harness import Server, serving
from tests.e2e.load import Load, load
from tests.e2e.trapdoor import Point, set_trap
from tests.waiting import wait_until

VERSIONS = 150


def long(*cases: Any) -> list[Any]:
    """Cases of a parametrized test that run only with --long; one of several values is a tuple."""
    return [pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.long) for case in cases]


@dataclass(slots=True)
class Stage:
    """``live`` is the version that visitors have, ``failed`` how many requests have failed so far."""

    server: Server
    app: str
    repository: Path
    visitors: Load
    versions: Iterator[int] = field(default_factory=lambda: itertools.count(2))
    failed: int = 0
    live: str = "v1"

    def commit(self, **env: str) -> str:
        """The next version, committed and not pushed."""
        version = f"v{next(self.versions)}"
        apps.commit(self.repository, version, {"Dockerfile": apps.tiny_dockerfile(version, env)})
        return version

    def head(self) -> str:
        return apps.git(self.repository, "rev-parse", "HEAD")

    def push_until(self, point: Point, *options: str) -> str:
        """Pushes, and gitship is no more once it has reached the point; what the pusher read."""
        with self.dies_at(point):
            return self.server.push(self.repository, self.app, *options).stderr

    @contextmanager
    def dies_at(self, point: Point) -> Iterator[None]:
        """gitship is no more when the block has been carried out, because it has reached the point."""
        process = self.server.process
        assert process is not None
        with self.killed_at(point, [process.pid]):
            yield
        process.wait(10)
        self.server.process = None

    @contextmanager
    def killed_at(self, point: Point, pids: Sequence[int]) -> Iterator[None]:
        """Those processes are no more when the block has been carried out and gitship has reached the point."""
        trap = self.server.trap
        set_trap(trap, point, pids)
        try:
            yield
            wait_until(lambda: not trap.exists(), 20, f"{point} is reached\n{self.server.logs[-4000:]}")
        finally:
            trap.unlink(missing_ok=True)

    def comes_back(self) -> None:
        """Starts gitship again; soon everything agrees."""
        began = time.monotonic()
        self.server.start()
        ready_s = time.monotonic() - began
        await_agreement(self.server)
        print(f"ready after {ready_s:.2f} s, all agree after {time.monotonic() - began:.2f} s")

    def check_visitors(self) -> None:
        """No request has failed since the last time."""
        report = self.visitors.so_far()
        new, self.failed = report.failed - self.failed, report.failed
        assert new == 0, f"{new} of {report.requests} requests failed: {report.failures}\n{report.samples}"


@contextmanager
def staged(base: Path, docker_host: str, app: str, repository: Path, broken: Callable[[], bool]) -> Iterator[Stage]:
    """The app is live with version v1; ``broken`` tells at the end whether a test failed."""
    with serving(Server(base, docker_host, forks=Forks(base, trapdoors=True)), broken) as server:
        server.push_ok(repository, app)
        allowed = [f"v{n}" for n in range(1, VERSIONS)]
        with load(
            server.http_port, f"{app}.localhost", allowed, workers=4, pause_ms=50, slow_ms=700, streams=0
        ) as visitors:
            yield Stage(server, app, repository, visitors)
            print(visitors.end())
