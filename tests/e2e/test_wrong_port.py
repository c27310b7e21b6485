"""An app that listens elsewhere than expected: told at once, not after the whole time-out, whatever its checks are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e import apps
from tests.e2e.harness import Server, running
from tests.e2e.load import load

pytestmark = pytest.mark.e2e

CAUSE = "web is not healthy after {}: listens on 3000, expected 8000"
HEALTHY = 'HEALTHCHECK CMD ["/tiny", "release"]'  # passes wherever the app listens


@pytest.fixture(scope="module")
def server(module_base: Path, docker_host: str) -> Iterator[Server]:
    with running(module_base / "server", docker_host, lambda: False, deploy={"check_timeout": 60.0}) as started:
        yield started


def astray(extra: tuple[str, ...] = (), **env: str) -> dict[str, str]:
    return {"Dockerfile": apps.tiny_dockerfile("v2", {"LISTEN_PORT": "3000", **env}, extra=extra)}


def failed_push(server: Server, repository: Path, app: str) -> str:
    done = server.push(repository, app)
    assert done.returncode == 1
    return done.stderr


def test_a_wrong_port_is_told_at_once_and_fails_before_the_time_out(
    server: Server, tiny_app: Callable[..., Path]
) -> None:
    said = failed_push(server, tiny_app("astray", files=astray()), "astray")
    first, cause = said.find("web listens on 3000, expected 8000"), said.find("checking failed: web is not healthy")
    assert 0 <= first < cause, said
    found = re.search(CAUSE.format(r"(\d+) s"), said)
    assert found and int(found[1]) < 60, said
    assert "ports:set astray 3000" in said


def test_a_passing_healthcheck_does_not_hide_the_port(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("hidden")
    server.push_ok(repository, "hidden")
    apps.commit(repository, "Two", astray((HEALTHY,)))
    with load(server.http_port, "hidden.localhost", ["v1"], workers=4) as visitors:
        said = failed_push(server, repository, "hidden")
        report = visitors.end()
    assert report.failed == 0, report  # nobody was led to it
    assert re.search(CAUSE.format(r"\d+ s"), said), said
    assert "ports:set hidden 3000" in said and "push again" not in said


def test_the_switch_knows_the_port_when_checks_are_skipped(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("unasked")
    server.push_ok(repository, "unasked")
    assert server.ssh("checks:skip", "unasked").returncode == 0
    apps.commit(repository, "Two", astray())
    said = failed_push(server, repository, "unasked")
    assert "switching failed: web listens on 3000, expected 8000" in said, said
    assert "ports:set unasked 3000" in said
    assert server.get("unasked").body == "v1\n"


def test_an_app_that_opens_its_port_late_is_waited_for(server: Server, tiny_app: Callable[..., Path]) -> None:
    server.push_ok(tiny_app("late", files={"Dockerfile": apps.tiny_dockerfile("v1", {"BOOT_MS": "7000"})}), "late")
    assert server.get("late").body == "v1\n"
