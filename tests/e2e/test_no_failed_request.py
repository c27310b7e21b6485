"""No request fails in a deploy: GET and POST, keep-alive and not, 5 s answers and streams, while releases change.

20 deploys under 10,000 requests: --long, or GITSHIP_TEST_DEPLOYS=20.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import apps
from tests.e2e.harness import Server
from tests.e2e.load import PIECE_MS, SLOW_MS, Report, load
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

DEPLOYS = int(os.environ.get("GITSHIP_TEST_DEPLOYS", "8"))
# Six visitors with slow answers and six with streams: each ends what it has begun, however fast the deploys are.
LASTING = {"slow": 6, "streams": 6}
REQUESTS = 500 * DEPLOYS  # there are more as a rule; the load does not go on for them when the last deploy is over
LONG = {"slow_ms": SLOW_MS, "piece_ms": PIECE_MS}


def deploy_under_load(server: Server, repository: Path, app: str, bad: Callable[[int], bool]) -> Report:
    """DEPLOYS pushes while visitors ask."""
    good = [f"v{n}" for n in range(DEPLOYS + 1) if n == 0 or not bad(n)]
    with load(
        server.http_port, f"{app}.localhost", good, workers=16, pause_ms=10, at_least=REQUESTS, **LASTING, **LONG
    ) as visitors:
        for n in range(1, DEPLOYS + 1):
            crashing = apps.tiny_dockerfile(f"bad{n}", {"CRASH": "3"})
            apps.commit(
                repository, f"Deploy {n}", {"Dockerfile": crashing if bad(n) else apps.tiny_dockerfile(f"v{n}")}
            )
            done = server.push(repository, app)
            assert (done.returncode != 0) == bad(n), f"deploy {n}: exit {done.returncode}\n{done.stderr}"
        report = visitors.end()
    print(report)
    return report


@pytest.mark.parametrize("bad", [pytest.param(False, id="all good"), pytest.param(True, id="every second fails")])
def test_no_request_fails_through_many_deploys(server: Server, tiny_app: Callable[..., Path], bad: bool) -> None:
    app = "every-second" if bad else "steady"
    repository = tiny_app(app, version="v0")
    server.push_ok(repository, app)
    report = deploy_under_load(server, repository, app, lambda n: bad and n % 2 == 0)
    assert report.failed == 0, f"{report.failed} of {report.requests} failed: {report.failures}\n{report.samples}"
    assert report.requests >= REQUESTS
    assert len(report.versions) > DEPLOYS // 2  # visitors really saw the releases come
    assert min(report.kinds[kind] for kind in ("GET", "POST", "GET new connection", "GET slow", "GET stream")) > 5
    last = f"v{DEPLOYS - 1 if bad else DEPLOYS}"
    assert server.get(app).body.strip() == last
    wait_until(lambda: len(server.containers(f"gitship.app={app}")) == 1, 30, "old and failed containers are removed")


def test_container_is_stopped_only_with_nothing_in_flight(own_server: Server, tiny_app: Callable[..., Path]) -> None:
    """The app counts what is in flight when it gets SIGTERM; its log is followed, for it goes with the container."""
    repository = tiny_app("counted")
    own_server.push_ok(repository, "counted")
    [old] = own_server.containers("gitship.app=counted")
    command = ["docker", "-H", own_server.docker_host, "logs", "-f", old]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as words,
        load(own_server.http_port, "counted.localhost", ["v1", "v2"], workers=8, **LONG) as visitors,
    ):
        apps.commit(repository, "Two", {"Dockerfile": apps.tiny_dockerfile("v2")})
        own_server.push_ok(repository, "counted")
        out, _ = words.communicate(timeout=60)
        report = visitors.end()
    assert "SIGTERM with 0 in flight" in out, out
    assert report.failed == 0, report


def test_app_that_ignores_sigterm_is_still_replaced(server: Server, tiny_app: Callable[..., Path]) -> None:
    settings = "[processes.web]\nstop_timeout = 2\n"
    repository = tiny_app(
        "stubborn", files={"Dockerfile": apps.tiny_dockerfile("v1", {"IGNORE_TERM": "1"}), "gitship.toml": settings}
    )
    server.push_ok(repository, "stubborn")
    apps.commit(repository, "Two", {"Dockerfile": apps.tiny_dockerfile("v2")})
    server.push_ok(repository, "stubborn")
    assert server.get("stubborn").body == "v2\n"
    wait_until(lambda: server.containers("gitship.app=stubborn") == ["stubborn.web.1.v2"], 40, "the old one is killed")
