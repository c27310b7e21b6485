"""A build that sleeps, prints or forks without end is ended, and stands in no other app's way meanwhile."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import apps
from tests.e2e.harness import Server, running
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]  # many deploys, on a machine that may be busy

SH = 'RUN ["/bin/busybox", "sh", "-c", "{}"]'


@pytest.fixture(scope="module")
def server(module_base: Path, docker_host: str) -> Iterator[Server]:
    docker = {"max_builds": 2, "build_output": "1m"}
    with running(module_base / "server", docker_host, lambda: False, docker=docker) as started:
        yield started


def app(base: Path, name: str, script: str = "") -> Path:
    """busybox's httpd; the build runs the script. The time keeps it out of the cache."""
    repository = base / name
    if not repository.exists():
        apps.busybox(repository)
    text = (apps.APPS / "busybox" / "Dockerfile").read_text()
    if script:
        text = text.replace("EXPOSE", f"{SH.format(f': {time.time_ns()}; {script}')}\nEXPOSE")
    apps.commit(repository, script or "plain", {"Dockerfile": text, "index.html": f"{time.time_ns()}\n"})
    return repository


def processes(word: str) -> list[str]:
    """Command lines that have the word."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = place.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if word in line and "pytest" not in line:
            found.append(line)
    return found


def test_slow_builds_hold_up_no_other_app(server: Server, base: Path) -> None:
    """Both places for builds are taken: pages, rollbacks, restarts and config of other apps need none."""
    live = app(base, "live")
    server.push_ok(live, "live")
    first = server.get("live").body
    app(base, "live")
    server.push_ok(live, "live")
    mark = f"47{time.time_ns() % 10**6}"
    pushes = [server.start_push(app(base, name, f"echo begun; sleep {mark}"), name) for name in ("slow1", "slow2")]
    try:
        wait_until(lambda: len(processes(f"sleep {mark}")) >= 2, 60, "both builds sleep")
        waiting = server.start_push(app(base, "third"), "third")
        pushes.append(waiting)
        wait_until(lambda: server.deploys("third") and server.deploys("third")[-1][0] == "building", 60, "it waits")

        assert server.ssh("releases:rollback", "live").returncode == 0
        assert server.get("live").body == first
        assert server.ssh("config:set", "live", "A=b").returncode == 0
        assert server.ssh("ps:restart", "live").returncode == 0
        assert len(processes(f"sleep {mark}")) >= 2, "the builds sleep yet: nothing has waited for them"

        canceled = server.ssh("deploys:cancel", "slow1")
        assert canceled.returncode == 0, canceled.stderr
        said, _ = pushes[0].communicate(timeout=60)
        assert pushes[0].returncode != 0 and "canceled" in said, said
        said, _ = waiting.communicate(timeout=120)
        assert waiting.returncode == 0, said  # the place that became free is its own
        assert processes(f"sleep {mark}"), "the other build goes on"
        assert server.ssh("deploys:cancel", "slow2").returncode == 0
        said, _ = pushes[1].communicate(timeout=60)
        assert pushes[1].returncode != 0 and "canceled" in said, said
        wait_until(lambda: not processes(f"sleep {mark}"), 15, "nothing of the builds is left")
    finally:
        for push in pushes:
            push.kill()
            push.communicate()


def test_a_build_that_prints_without_end_is_ended(server: Server, base: Path) -> None:
    mark = f"flood{time.time_ns()}"  # BuildKit itself drops what comes faster than 200 KiB/s: short lines, long counts
    refused = server.push(app(base, "loud", f"while :; do echo y; done; : {mark}"), "loud")
    assert refused.returncode != 0
    assert "the build's output exceeded 1 MB, last in " in refused.stderr, refused.stderr
    assert "build_output" in refused.stderr
    wait_until(lambda: not processes(mark), 15, "nothing of the build is left")
    logs = sum(path.stat().st_size for path in (server.data_dir / "logs").rglob("*.log"))
    assert logs < 8 << 20


def test_a_build_that_forks_without_end_is_ended(server: Server, base: Path) -> None:
    """Bounded here by itself, too: 300 processes that live for a minute each."""
    mark = f"59.{time.time_ns() % 10**8}"
    script = f"i=0; while [ $i -lt 300 ]; do sleep {mark} & i=$((i+1)); done; wait; sleep {mark}"
    started = server.start_push(app(base, "forks", script), "forks")
    wait_until(lambda: len(processes(f"sleep {mark}")) > 100, 60, "it has forked")
    assert server.ssh("deploys:cancel", "forks").returncode == 0
    said, _ = started.communicate(timeout=60)
    assert started.returncode != 0 and "canceled" in said
    wait_until(lambda: not processes(f"sleep {mark}"), 15, "none of them is left")


def test_a_build_without_network_has_none(server: Server, base: Path) -> None:
    script = "test $(ls /sys/class/net 2>/dev/null | grep -vc lo) = 0 && ! grep -q eth0 /proc/net/dev"
    repository = app(base, "alone", script)
    server.ssh("apps:create", "alone")
    done = server.ssh("builder:set", "alone", "--network", "none")
    assert done.returncode == 0, done.stderr
    shown = json.loads(server.ssh("builder:show", "alone", "--format", "json").stdout)
    assert shown == [{"name": "network", "value": "none", "source": "command"}]
    server.push_ok(repository, "alone")
    assert server.ssh("builder:unset", "alone", "--network").returncode == 0
    assert server.push(app(base, "alone", script), "alone").returncode != 0, "with Docker's own there is one"
