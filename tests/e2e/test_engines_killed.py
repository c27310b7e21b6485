"""dockerd, and varnishd, killed with -9 at points of a deploy: soon all is right again; the time that takes is told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import apps
from tests.e2e.agreement import await_agreement
from tests.e2e.dockerd import OwnEngine, own_engine
from tests.e2e.stage import Stage, long, staged
from tests.e2e.trapdoor import Point
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

APP = "shop"
BACK_S = 60.0


@pytest.fixture(scope="module")
def engine() -> Iterator[OwnEngine]:
    with own_engine(beside_another=True) as own:
        yield own


@pytest.fixture(scope="module")
def stage(request: pytest.FixtureRequest, module_base: Path, engine: OwnEngine, tiny_binary: Path) -> Iterator[Stage]:
    failed_before = request.session.testsfailed
    repository = apps.tiny(module_base / APP, tiny_binary)
    with staged(
        module_base / "server", engine.host, APP, repository, lambda: request.session.testsfailed > failed_before
    ) as made:
        yield made


def check_told_the_truth(stage: Stage, code: int, output: str, version: str) -> None:
    """What the pusher was told is what visitors, the record and the ref say; the next push works."""
    server = stage.server
    if code == 0:
        stage.live = version
    assert server.get(APP).body.strip() == stage.live, output
    assert server.deploys(APP)[-1][0] == ("live" if code == 0 else "failed"), output
    assert (server.server_ref(APP) == stage.head()) == (code == 0)
    server.push_ok(stage.repository, APP)
    stage.live = version
    assert server.get(APP).body.strip() == version


@pytest.mark.parametrize(
    ("point", "stands"),
    [
        (Point("after", "BuildProgress.__call__", 3), False),
        (Point("after", "DockerEngine.start"), False),
        (Point("after", "Front.label"), True),  # from here on Docker is asked for nothing
        *long(
            (Point("after", "Builder.build"), False),
            (Point("after", "DockerEngine.create"), False),
            (Point("after", "Drainer.start"), True),
        ),
    ],
    ids=str,
)
def test_killed_dockerd_costs_no_visitor_anything(stage: Stage, engine: OwnEngine, point: Point, stands: bool) -> None:
    version = stage.commit()
    with stage.killed_at(point, [engine.pid]):
        push = stage.server.push(stage.repository, APP)
    assert (push.returncode == 0) == stands, push.stderr
    began = time.monotonic()
    engine.revive()
    back_s = time.monotonic() - began
    await_agreement(stage.server)
    print(f"dockerd answers after {back_s:.1f} s, all agree after {time.monotonic() - began:.1f} s")
    check_told_the_truth(stage, push.returncode, push.stderr, version)
    stage.check_visitors()


@pytest.mark.parametrize(
    "point",
    [
        Point("after", "HealthChecker.wait_ready"),
        Point("after", "Front.label"),
        Point("after", "GoLive.make"),
        *long(Point("after", "Front.load"), Point("after", "Switch._ask"), Point("after", "Drainer.start")),
    ],
    ids=str,
)
def test_killed_varnishd_comes_back_with_what_the_pusher_was_told(stage: Stage, point: Point) -> None:
    server, version = stage.server, stage.commit()
    push = server.start_push(stage.repository, APP)
    with stage.killed_at(point, server.varnishd()):
        wait_until(lambda: not server.trap.exists(), BACK_S, f"{point} is reached")
        began = time.monotonic()
    wait_until(lambda: answers(stage), BACK_S, "the site answers again")
    back_s = time.monotonic() - began
    output, _ = push.communicate(timeout=BACK_S)
    await_agreement(server)
    print(f"the site answers after {back_s:.1f} s, all agree after {time.monotonic() - began:.1f} s")
    check_told_the_truth(stage, push.returncode, output, version)
    report = stage.visitors.so_far()
    pages = {kind: count for kind, count in report.failures.items() if " status " in kind}
    assert not pages, "Varnish came back with what has failed, or before it had all"  # nobody listened until then
    stage.failed = report.failed
    server.get(APP)
    stage.check_visitors()


def answers(stage: Stage) -> bool:
    try:
        return stage.server.get(APP, timeout_s=2).status == 200
    except OSError:
        return False
