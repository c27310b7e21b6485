"""`gitship doctor` on a server that runs: nothing fails, and what is gitship's own is known as such."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e import apps
from tests.e2e.harness import Server, running
from tests.places import free_port
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e


@pytest.fixture
def own_server(base: Path, docker_host: str) -> Iterator[Server]:
    """Port 443 may be somebody else's, and doctor would say so."""
    https = {"listen": f"127.0.0.1:{free_port()}"}
    with running(base / "server", docker_host, lambda: False, https=https) as started:
        yield started


def test_a_running_server_is_well(own_server: Server) -> None:
    done = own_server.gitship("doctor", "--format", "json")
    rows = json.loads(done.stdout)
    assert done.returncode == 0, [row for row in rows if row["level"] == "fail"]
    texts = {row["subject"]: row["text"] for row in rows}
    assert "varnishd (pid" in texts["http"] or "cache-main (pid" in texts["http"]
    assert f"{own_server.ssh_port} is served by " in texts["ssh"]
    assert texts["varnish"].startswith("running (pid ")
    assert {"config", "data", "files", "keys", "disk", "memory", "clock", "dns", "web", "docker"} <= texts.keys()


def test_a_stopped_server_is_well_too_and_looking_starts_nothing(own_server: Server) -> None:
    assert own_server.stop() == 0
    assert own_server.gitship("stop-front").returncode == 0
    done = own_server.gitship("doctor")
    assert done.returncode == 0, done.stdout
    assert "varnish   not running; " in done.stdout
    assert own_server.processes() == {}


def test_an_app_whose_visitors_get_503_for_its_early_hints_is_named(
    own_server: Server, tiny_app: Callable[..., Path]
) -> None:
    """On a page that no check has asked for."""
    healthy = '{"healthchecks": {"web": [{"type": "startup", "path": "/healthz"}]}}'
    dockerfile = apps.tiny_dockerfile("v1", {"EARLY": "'103 Early Hints'"})
    own_server.push_ok(tiny_app("hinting", files={"Dockerfile": dockerfile, "app.json": healthy}), "hint.ing")
    assert "Early Hints" not in own_server.gitship("doctor").stdout
    assert own_server.get("hint.ing").status == 503
    said = wait_until(
        lambda: next((line for line in own_server.gitship("doctor").stdout.splitlines() if "1xx" in line), None),
        30, "Varnish counts it",
    )  # fmt: skip
    assert "(such as 103 Early Hints) of hint.ing: their visitors got 503" in said
