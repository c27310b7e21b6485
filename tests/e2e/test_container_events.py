"""Crashes and out of memory as their owner sees them, the logs of what has ended, and what containers use."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gitship.reconcile.container_watcher import OOM_DIES_WITHIN_S
from tests.e2e import apps, docker_cli
from tests.e2e.harness import Server
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

SHELL = 'COPY busybox run.sh /bin/\nCOPY busybox /bin/sh\nCMD ["/bin/sh", "/bin/run.sh"]\n'
EATS = (
    "busybox httpd -p 8080 -h /www; until [ -e /eat ]; do busybox sleep 0.1; done; busybox rm /eat; busybox sleep 0.5; "
)
EATS += "exec busybox tail /dev/zero\n"


def events(server: Server, app: str) -> list[dict[str, Any]]:
    done = server.ssh("ps:events", app, "--format", "json")
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def texts(server: Server, app: str) -> list[str]:
    return [f"{row['container']} {row['text']}" for row in events(server, app)]


def deaths(server: Server, app: str) -> int:
    return len([row for row in events(server, app) if row["exit_code"]])


def lines(server: Server, app: str, *words: str) -> list[str]:
    done = server.ssh("logs", app, *words)
    assert done.returncode == 0, done.stderr
    return [line.partition(" | ")[2] for line in done.stdout.splitlines()]


def crash(server: Server, app: str) -> None:
    """The process exits with 9 in the middle of a request."""
    server.get(app, "/crash")
    wait_until(lambda: server.get(app).status == 200, 20, f"{app} serves again")


def test_a_crash_is_an_event_and_stands_among_the_lines_of_whoever_follows(
    server: Server, tiny_app: Callable[..., Path]
) -> None:
    server.push_ok(tiny_app("crashing"), "crashing")
    follower = subprocess.Popen(
        [*server.ssh_command(), "deploy@127.0.0.1", "logs", "crashing", "-f"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert follower.stdout is not None
        assert "listening on" in follower.stdout.readline()
        crash(server, "crashing")
        came = [follower.stdout.readline().partition(" | ")[2].strip() for _ in range(2)]
        assert came[0] == "-- crashed: exit code 9, restarting (1st time)"
        assert "listening on" in came[1]
    finally:
        follower.kill()
        follower.communicate(timeout=10)
    crash(server, "crashing")
    wait_until(lambda: len(events(server, "crashing")) == 2, 20, "two crashes are told")
    assert texts(server, "crashing") == [
        "crashing.web.1.v1 crashed: exit code 9, restarting (1st time)",
        "crashing.web.1.v1 crashed: exit code 9, restarting (2nd time)",
    ]


def test_what_gitship_ends_is_no_crash_and_its_log_is_still_readable(
    server: Server, tiny_app: Callable[..., Path]
) -> None:
    repository = tiny_app("ending")
    server.push_ok(repository, "ending")
    server.get("ending", "/log?said-by-v1")
    apps.commit(repository, "Two", {"Dockerfile": apps.tiny_dockerfile("v2")})
    server.push_ok(repository, "ending")
    assert server.ssh("ps:restart", "ending").returncode == 0
    assert server.ssh("ps:stop", "ending").returncode == 0
    wait_until(lambda: server.containers("gitship.app=ending") == [], 30, "all containers are gone")
    said = lines(server, "ending", "--release", "v1")
    assert [line for line in said if "said-by" in line] == ["said-by-v1"]
    assert "SIGTERM with 0 in flight" in said[-1]
    assert lines(server, "ending", "--release", "v2", "--grep", "listening") == ["listening on 0.0.0.0:8000, v2"] * 2
    assert events(server, "ending") == []


def test_a_gitship_that_is_killed_while_containers_end_loses_no_log(
    server: Server, tiny_app: Callable[..., Path]
) -> None:
    server.push_ok(tiny_app("cut-short"), "cut-short")
    server.get("cut-short", "/log?said-before")
    assert server.ssh("ps:restart", "cut-short").returncode == 0  # answered while the old container drains
    server.kill9()
    server.start()
    wait_until(lambda: len(server.containers("gitship.app=cut-short")) == 1, 40, "the old container is gone")
    said = lines(server, "cut-short", "--release", "v1")
    assert [line for line in said if "said-before" in line] == ["said-before"]
    place = server.app_logs("cut-short")
    assert place.is_dir()
    server.ssh("apps:destroy", "cut-short", "--force")
    assert not place.exists()


def test_the_log_of_a_release_that_never_became_live_says_why(server: Server, tiny_app: Callable[..., Path]) -> None:
    text = apps.tiny_dockerfile("v1", {"CRASH": "3"})
    assert server.push(tiny_app("stillborn", files={"Dockerfile": text}), "stillborn").returncode != 0
    assert "cannot start: CRASH=3" in lines(server, "stillborn", "--release", "v1")
    assert events(server, "stillborn") == []


def test_out_of_memory_names_the_limit_whether_it_ends_the_container_or_a_process_in_it(
    server: Server, base: Path
) -> None:
    repository = apps.busybox(base / "hungry")
    dockerfile = (repository / "Dockerfile").read_text() + SHELL
    limit = "[processes.web]\nmemory = '16m'\n"
    apps.commit(repository, "Eats", {"Dockerfile": dockerfile, "run.sh": EATS, "gitship.toml": limit})
    server.push_ok(repository, "hungry")
    assert server.ssh("enter", "hungry", "web", "--", "/bin/busybox", "tail", "/dev/zero").returncode == 137
    wait_until(lambda: len(events(server, "hungry")) == 1, 20, "a process was killed")
    time.sleep(OOM_DIES_WITHIN_S + 1)  # else the container's end could be taken for that of the process
    for attempt in range(3):  # containerd tells nothing when the control group is gone before it looks
        assert server.ssh("enter", "hungry", "web", "--", "/bin/busybox", "touch", "/eat").returncode == 0
        wait_until(lambda n=attempt: deaths(server, "hungry") > n, 20, "the container was killed")  # type: ignore[misc]
        if "memory" in texts(server, "hungry")[-1]:
            break
    peak = r"out of memory \(limit 16 MB(, peak 1[56] MB)?\)"  # without, if its control group was gone already
    child, *_, whole = texts(server, "hungry")
    assert re.fullmatch(rf"hungry\.web\.1\.v1 killed: {peak}", child), child
    assert re.fullmatch(rf"hungry\.web\.1\.v1 killed: {peak}, restarting \(\w+ time\)", whole), whole
    [row] = json.loads(server.ssh("ps:list", "hungry", "--format", "json").stdout)
    assert row["ooms"] == 2


def test_crashes_while_gitship_was_down_are_told_once(server: Server, tiny_app: Callable[..., Path]) -> None:
    server.push_ok(tiny_app("unseen"), "unseen")
    crash(server, "unseen")
    wait_until(lambda: len(events(server, "unseen")) == 1, 20, "the first crash is told")
    server.kill9()
    crash(server, "unseen")
    server.start()
    wait_until(lambda: len(events(server, "unseen")) == 2, 20, "the second crash is told")
    server.restart()
    time.sleep(1)  # it has connected again
    assert [row["exit_code"] for row in events(server, "unseen")] == [9, 9]


def test_a_container_that_somebody_stops_is_started_again_and_that_is_said(
    server: Server, tiny_app: Callable[..., Path]
) -> None:
    server.push_ok(tiny_app("stopped"), "stopped")
    docker_cli.docker(server.docker_host, "kill", "stopped.web.1.v1")
    # the reconciler does it in its own time, too: whoever comes second may be refused, and then makes it anew
    docker_cli.docker(server.docker_host, "start", "stopped.web.1.v1", check=False)
    wait_until(lambda: events(server, "stopped"), 40, "the restart is told")
    wait_until(lambda: server.get("stopped").status == 200, 40, "it is running again")
    told = len(events(server, "stopped"))
    docker_cli.docker(server.docker_host, "rm", "-f", "stopped.web.1.v1")
    wait_until(lambda: len(events(server, "stopped")) > told, 40, "the reconciler has made it anew")
    assert "was recreated" in events(server, "stopped")[-1]["text"]
    assert {row["kind"] for row in events(server, "stopped")} == {"restarted"}


def test_the_list_says_what_containers_use(server: Server, tiny_app: Callable[..., Path]) -> None:
    server.push_ok(tiny_app("figures"), "figures")
    assert server.ssh("resources:limit", "figures", "--memory", "64m").returncode == 0

    def row() -> dict[str, Any] | None:
        rows = json.loads(server.ssh("ps:list", "figures", "--format", "json").stdout)
        assert len(rows) == 1
        return rows[0] if rows[0]["cpu_percent"] is not None else None

    found = wait_until(row, 30, "two readings were taken", every_s=1)
    assert 0 <= found["cpu_percent"] < 100
    assert 100_000 < found["memory_bytes"] < found["memory_limit_bytes"] == 64 << 20
    assert found["uptime"] >= 0
    assert "figures.web.1" in server.ssh("ps:list").stdout
