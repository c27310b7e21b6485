"""Docker, Varnish and gitship killed, alone and together: no app ever answers another's name, and all comes back.

``pytest -s`` prints how long that took. With --long (or GITSHIP_TEST_FAULTS=all) also with Docker's live-restore, and
Docker hangs for a minute, not some seconds.
"""

from __future__ import annotations

import http.client
import os
import signal
import threading
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import tomli_w

from tests.e2e import apps, docker_cli
from tests.e2e.dockerd import OwnEngine, own_engine
from tests.e2e.harness import Server, running
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

NAMES = ("red", "blue")  # each answers with its own name
BACK_S = 45.0  # below a whole round of the reconciler: nothing may wait for that. 40 reboots at a load of 24: 21 s
ALL = os.environ.get("GITSHIP_TEST_FAULTS") == "all"
HANG_S = 60.0 if ALL else 8.0
HANG_LIMIT_S = 15.0 if ALL else 3.0  # ``docker.timeout`` meanwhile


class Visitors:
    """One after the other at each app's name: what they were answered by, and when it was last not the app."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._visit, args=(name,), daemon=True) for name in NAMES]
        self.wrong: list[str] = []
        self.statuses: dict[str, Counter[int]] = {name: Counter() for name in NAMES}

    def _visit(self, name: str) -> None:
        while not self._stop.wait(0.02):
            try:
                answer = self._server.get(name, timeout_s=5)
            except (OSError, http.client.HTTPException):
                self.statuses[name][0] += 1
                continue
            self.statuses[name][answer.status] += 1
            if answer.status == 200 and answer.body != f"{name}\n":
                self.wrong.append(f"{name} was answered with {answer.body[:80]!r}")

    @property
    def failed(self) -> int:
        return sum(count for counts in self.statuses.values() for status, count in counts.items() if status != 200)

    def __enter__(self) -> Visitors:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(20)


def serves(server: Server) -> bool:
    try:
        return all(server.get(name, timeout_s=5).body == f"{name}\n" for name in NAMES)
    except (OSError, http.client.HTTPException):
        return False


def back(server: Server, what: str, began: float) -> None:
    """Waits until both apps serve and there is nothing left to do; prints how long that took since ``began``."""
    wait_until(lambda: serves(server), BACK_S, f"both apps serve again after: {what}")
    served_s = time.monotonic() - began
    wait_until(lambda: at_rest(server), BACK_S, f"nothing is left to do after: {what}", every_s=0.5)
    print(f"{what}: both apps serve after {served_s:.1f} s, at rest after {time.monotonic() - began:.1f} s")


def at_rest(server: Server) -> bool:
    """Nothing is left to do, and one container of each app runs."""
    done = server.ssh("server:reconcile", "--dry-run", "--format", "json")
    return done.returncode == 0 and done.stdout.strip() == "[]" and len(server.containers("gitship.process=web")) == 2


def kill_varnish(server: Server, *, child_only: bool = False) -> None:
    for pid, line in server.processes().items():
        if "varnishd" not in line:
            continue
        with suppress(OSError):
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            if child_only and "varnishd" not in server.processes().get(parent, ""):
                continue
            os.kill(pid, signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class Machine:
    """An engine and a gitship on it, which both apps live on; each test leaves it at rest."""

    engine: OwnEngine
    live_restore: bool
    server: Server


@pytest.fixture(
    scope="module", params=[False, True] if ALL else [False], ids=lambda live: "live-restore" if live else "plain"
)
def machine(request: pytest.FixtureRequest, module_base: Path, tiny_binary: Path) -> Iterator[Machine]:
    base = module_base / ("live" if request.param else "plain")
    base.mkdir(mode=0o711)
    with (
        own_engine(beside_another=True, live_restore=request.param) as engine,
        running(base / "server", engine.host, lambda: bool(request.session.testsfailed)) as server,
    ):
        for name in NAMES:
            server.push_ok(apps.tiny(base / name, tiny_binary, version=name), name)
        yield Machine(engine, request.param, server)


def test_docker_killed(machine: Machine) -> None:
    server = machine.server
    with Visitors(server) as visitors:
        began = time.monotonic()
        machine.engine.kill9()
        assert serves(server)  # containers outlive it
        machine.engine.start()
        back(server, "kill -9 of dockerd", began)
    assert visitors.wrong == []
    if machine.live_restore:
        assert visitors.failed == 0


def test_docker_and_gitship_killed_and_started_at_once(machine: Machine) -> None:
    server = machine.server
    with Visitors(server) as visitors:
        began = time.monotonic()
        machine.engine.kill9()
        server.kill9()
        starting = threading.Thread(target=machine.engine.start)
        starting.start()
        server.start()
        starting.join(90)
        back(server, "kill -9 of dockerd and gitship at once", began)
    assert visitors.wrong == []


def has_failed_since(visitors: Visitors, failed: int) -> bool:
    return visitors.failed > failed


def test_varnish_killed(machine: Machine) -> None:
    server = machine.server
    with Visitors(server) as visitors:
        for what, child_only in (("Varnish's worker", True), ("Varnish's manager and worker", False)):
            failed, began = visitors.failed, time.monotonic()
            kill_varnish(server, child_only=child_only)
            wait_until(partial(has_failed_since, visitors, failed), 20, "it is gone")
            back(server, f"kill -9 of {what}", began)
    assert visitors.wrong == []


def test_all_of_it_killed_as_in_a_reboot(machine: Machine) -> None:
    server = machine.server
    with Visitors(server) as visitors:
        began = time.monotonic()
        server.kill9()
        kill_varnish(server)
        machine.engine.kill9()
        machine.engine.kill_containers()
        machine.engine.start()
        server.start()
        back(server, "a reboot", began)
    assert visitors.wrong == []
    assert server.ssh("ps:restart", "red").returncode == 0
    assert serves(server)


def test_docker_that_hangs_holds_up_no_page_and_commands_say_so(machine: Machine) -> None:
    server = machine.server
    before = server.config.read_text()
    settings = tomllib.loads(before)
    settings["docker"]["timeout"] = HANG_LIMIT_S
    server.config.write_text(tomli_w.dumps(settings))
    server.restart()
    wait_until(lambda: at_rest(server), BACK_S, "nothing is left to do", every_s=0.5)
    ids = docker_cli.docker(machine.engine.host, "ps", "-q").split()
    with Visitors(server) as visitors:
        with machine.engine.stopped():
            began = time.monotonic()
            for command in (("ps:list", "red"), ("server:reconcile", "--dry-run"), ("server:reconcile",)):
                done = server.ssh(*command, timeout_s=200)
                assert done.returncode != 0 and "Docker" in done.stderr, (command, done.stderr)
                assert "Traceback" not in done.stderr
            assert server.ssh("apps:list").returncode == 0
            time.sleep(max(0.0, HANG_S - (time.monotonic() - began)))
        back(server, f"a Docker that hung for {HANG_S:g} s", time.monotonic())
    assert visitors.failed == 0 and visitors.wrong == []
    assert sorted(docker_cli.docker(machine.engine.host, "ps", "-q").split()) == sorted(ids)  # none was made anew
    server.config.write_text(before)
    server.restart()
