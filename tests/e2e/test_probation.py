"""A release that fails right after its switch is rolled back by itself, and the same commit can be pushed once more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import apps
from tests.e2e.commands import shown
from tests.e2e.harness import Server
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

WAIT_S = 120.0
LONG = "[deploy]\nwatch = 300\n"  # however busy the machine is
HEALTHZ = LONG + '[[processes.web.checks]]\npath = "/healthz"\n'


def deploys(server: Server, app: str) -> list[dict[str, Any]]:
    """Newest first."""
    rows: list[dict[str, Any]] = shown(server, "deploys:list", app)
    return sorted(rows, key=lambda row: -row["id"])


def rolled_back(server: Server, app: str) -> dict[str, Any]:
    """The rollback that gitship has made by itself, when it is live."""
    found = wait_until(
        lambda: next((d for d in deploys(server, app) if d["kind"] == "rollback" and d["state"] != "failed"), None),
        WAIT_S, "it is rolled back", every_s=0.5,
    )  # fmt: skip
    wait_until(lambda: server.get(app).body == "v1\n", WAIT_S, "v1 serves again", every_s=0.5)
    assert isinstance(found, dict)
    return found


def test_a_release_that_crashes_again_and_again(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("looping", files={"gitship.toml": LONG})
    server.push_ok(repository, "looping")
    good = apps.git(repository, "rev-parse", "HEAD")
    bad = apps.commit(repository, "Bad", {"Dockerfile": apps.tiny_dockerfile("v2")})
    server.push_ok(repository, "looping")
    server.get("looping", "/doom")
    made = rolled_back(server, "looping")
    assert made["created_by"] == "gitship"

    pushed = next(d for d in deploys(server, "looping") if d["commit"] == bad and d["kind"] == "push")
    told = shown(server, "deploys:info", "looping", str(pushed["id"]))
    assert "crashed 3 times" in told["reason"] and f"Rolled back to v1 by deploy {made['id']}" in told["reason"]
    assert f"commit {bad[:7]} is not live" in told["reason"]
    assert f"commit {bad[:7]} is not live" in server.ssh("logs:deploy", "looping", str(pushed["id"])).stdout
    assert "crash_loop" in {row["kind"] for row in shown(server, "ps:events", "looping")}
    wait_until(lambda: server.server_ref("looping") == good, WAIT_S, "the branch was reset")

    server.push_ok(repository, "looping")  # the same commit once more
    assert server.get("looping").body == "v2\n" and server.server_ref("looping") == bad


def test_a_release_that_fails_its_visitors(server: Server, tiny_app: Callable[..., Path]) -> None:
    repository = tiny_app("failing", files={"gitship.toml": HEALTHZ})
    server.push_ok(repository, "failing")
    apps.commit(repository, "Bad", {"Dockerfile": apps.tiny_dockerfile("v2", {"FAIL_EVERY": "1"})})
    server.push_ok(repository, "failing")
    assert [server.get("failing").status for _ in range(30)].count(500) >= 20
    rolled_back(server, "failing")
    pushed = next(d for d in deploys(server, "failing") if d["kind"] == "push")
    assert "requests failed" in pushed["reason"]


def test_the_first_release_stays_and_that_is_said(server: Server, tiny_app: Callable[..., Path]) -> None:
    server.push_ok(tiny_app("first", files={"gitship.toml": LONG}), "first")
    server.get("first", "/doom")
    wait_until(
        lambda: "there is no earlier release" in deploys(server, "first")[0]["reason"],
        WAIT_S,
        "it is told",
        every_s=0.5,
    )
    assert [d["kind"] for d in deploys(server, "first")] == ["push"]
    wait_until(lambda: shown(server, "ps:list", "first")[0]["status"] == "crash loop", WAIT_S, "ps:list says so")
