"""The clock is set a day forward or an hour back while a gitship runs: deploys, limits, sign-ins, records.

Only this process sees the other time of day: containers, Varnish and Docker go by the machine's. What the scheduler of
cron does then is in tests/unit/oneoff/test_cron_runner.py.
"""

from __future__ import annotations

import http.client
import os
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e import apps
from tests.e2e.commands import ok, shown
from tests.e2e.harness import Server, serving
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]
HOUR_S, DAY_S = 3600, 86_400
SHIM = """
import os, time

_time, _file = time.time, os.environ["GITSHIP_TEST_CLOCK"]


def set_time():
    with open(_file) as file:
        return _time() + float(file.read())


time.time = set_time
"""


class Clock:
    """The time of day of one server's process."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set_s = 0
        self.step(0)

    def step(self, by_s: int) -> None:
        self.set_s += by_s
        unfinished = self._file.with_suffix(".new")
        unfinished.write_text(str(self.set_s))
        unfinished.rename(self._file)


@pytest.fixture
def clock(base: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    (base / "shim").mkdir()
    (base / "shim" / "sitecustomize.py").write_text(SHIM)
    monkeypatch.setenv("PYTHONPATH", f"{base / 'shim'}:{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setenv("GITSHIP_TEST_CLOCK", str(base / "clock"))
    return Clock(base / "clock")


@pytest.fixture
def server(base: Path, docker_host: str, clock: Clock) -> Iterator[Server]:
    with serving(Server(base / "server", docker_host, as_users_do=True), lambda: False) as started:
        yield started


def opens(link: str) -> bool:
    """A sign-in link is looked at, not used."""
    try:
        with urllib.request.urlopen(link, timeout=15) as answer:
            return bool(answer.status == http.client.OK)
    except urllib.error.HTTPError:
        return False


def seconds_of_push(server: Server, repository: Path, version: str) -> float:
    """As its last line tells it."""
    apps.commit(repository, version, {"Dockerfile": apps.tiny_dockerfile(version)})
    push = server.start_push(repository, "shop")
    said = push.communicate(timeout=120)[0]
    assert push.returncode == 0, said
    line = next(line for line in said.splitlines() if "=====>" in line)
    return float(line.rpartition(" in ")[2].partition("s")[0])


@pytest.mark.parametrize("step_s", [DAY_S, -HOUR_S])  # all four in tests/unit/reconcile/test_clock_watch.py
def test_nothing_ends_at_once_or_never_and_no_record_is_absurd(
    server: Server, clock: Clock, tiny_app: Callable[..., Path], step_s: int
) -> None:
    shop = tiny_app("shop")
    server.push_ok(shop, "shop")
    link = server.ssh("web").stdout.strip()
    assert opens(link)
    ok(server, "run", "shop", "--detach", "--timeout", "6s", "/tiny", "work")
    push = server.start_push(shop, "other")
    wait_until(lambda: server.deploys("other"), 60, "the deploy of another app is under way")
    clock.step(step_s)
    assert push.wait(120) == 0
    way = "forward" if step_s > 0 else "back"
    wait_until(lambda: f"the clock was set {way} by {abs(step_s)} s" in server.logs, 30, "it is noticed")
    assert opens(link), "it has been there for seconds"

    assert seconds_of_push(server, shop, "v2") < 200  # the client waits for 120
    wait_until(lambda: len(server.containers("gitship.app=shop", "gitship.process=web")) == 1, 60, "all is drained")
    wait_until(lambda: not server.containers("gitship.one-off"), 60, "the command has ended at its limit")
    rows = [row for app in ("shop", "other") for row in shown(server, "deploys:list", app)]
    assert all(row["state"] == "live" and row["seconds"] >= 0 for row in rows), rows
    assert all(row["uptime"] >= 0 for row in shown(server, "ps:list", "shop"))
    assert "Traceback" not in server.logs
    assert server.get("shop").body.startswith("v2")

    server.restart()
    assert opens(link), "also for the next gitship"
    assert server.logs.count("the clock was set") == 1
    clock.step(-step_s)
    wait_until(lambda: server.logs.count("the clock was set") == 2, 30, "it is noticed")
    assert opens(link)
    assert shown(server, "server:reconcile", "--dry-run") == []
