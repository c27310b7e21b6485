"""ps:pause on a real server: under load, over a deploy, and when gitship is killed meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e import apps
from tests.e2e.harness import Answer, Server
from tests.e2e.load import load
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

PAUSE_S = 5.0


def paused(server: Server, app: str, limit: str = "30s") -> None:
    done = server.ssh("ps:pause", app, "--for", limit)
    assert done.returncode == 0, done.stderr


def visit(server: Server, pool: ThreadPoolExecutor, app: str) -> list[Future[Answer]]:
    """Five GETs and five POSTs that are on their way."""
    visits = [
        pool.submit(server.get, app, method=method, body=b"x" if method == "POST" else None, timeout_s=60)
        for method in ("GET", "POST") * 5
    ]
    time.sleep(1.0)
    return visits


def test_no_request_is_lost_in_a_pause_under_load(server: Server, tiny_app: Callable[..., Path]) -> None:
    server.push_ok(tiny_app("paused"), "paused")
    with (
        ThreadPoolExecutor(20) as pool,
        load(server.http_port, "paused.localhost", ["v1"], workers=16, pause_ms=20) as visitors,
    ):
        time.sleep(1.0)
        paused(server, "paused")
        began = time.monotonic()
        time.sleep(PAUSE_S)
        visits = visit(server, pool, "paused")
        assert server.ssh("ps:resume", "paused").returncode == 0
        assert {answer.result(10).status for answer in visits} == {200}  # long before the limit
        assert time.monotonic() - began >= PAUSE_S
        report = visitors.end()
    print(report)
    assert report.failed == 0, report
    assert report.slowest >= PAUSE_S - 1
    assert min(report.kinds[kind] for kind in ("GET", "POST", "GET new connection")) > 5


def test_a_deploy_in_a_pause_and_its_limit(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("migrated")
    server.push_ok(repository, "migrated")
    with ThreadPoolExecutor(20) as pool:
        paused(server, "migrated", "10s")
        old = visit(server, pool, "migrated")
        apps.commit(repository, "Two", {"Dockerfile": apps.tiny_dockerfile("v2")})
        server.push_ok(repository, "migrated")
        new = visit(server, pool, "migrated")
        assert not any(answer.done() for answer in old + new)
        assert {answer.result(30).body.split()[0] for answer in old} == {"v1"}
        assert {answer.result(30).body.split()[0] for answer in new} == {"v2"}
    wait_until(lambda: server.containers("gitship.app=migrated") == ["migrated.web.1.v2"], 20, "the old one goes")
    assert server.ssh("ps:resume", "migrated").returncode == 3


def test_a_pause_ends_with_gitship_and_loses_nothing(own_server: Server, tiny_app: Callable[..., Path]) -> None:
    own_server.push_ok(tiny_app("left"), "left")
    with ThreadPoolExecutor(20) as pool:
        for end in (own_server.kill9, own_server.stop):
            paused(own_server, "left")
            visits = visit(own_server, pool, "left")
            assert not any(answer.done() for answer in visits)
            began = time.monotonic()
            end()
            assert {answer.result(30).status for answer in visits} == {200}
            assert time.monotonic() - began < 15  # long before the limit, which would let them go, too
            assert own_server.get("left").body == "v1\n"
            own_server.start()
            assert own_server.get("left", method="POST", body=b"x").status == 200
