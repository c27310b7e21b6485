"""Releases change 50 times under mixed load of at least 100,000 requests, and none may fail.

At the level of VCL, in the order in which a deploy does it and with its own drain: real Varnish, and for each release a
process of the tiny app that ends on SIGTERM. `python -m tests.bench.swaps [--swaps N] [--requests N]`; with
`--break-it` the old release is ended before it is drained, which has to fail. Exit code 1 when a request has failed.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from gitship.config_values import Address
from gitship.containers.container_starter import ContainerStarter
from gitship.front.front import AppFront, Backend, Front
from gitship.front.tcp_ports import free_port
from gitship.model import App, Container
from gitship.routing.drain import CutConnections, Drainer, DrainLimits
from tests.bench.table import show, spread
from tests.bench.visitors import WORKERS, Report, visiting
from tests.e2e.apps import build_tiny

HOST = "127.0.0.1"
APP = App(1, "shop", 0.0)
LIMITS = DrainLimits(requests_s=30.0, sockets_s=3.0)
GRACE_S = 20.0
LOAD_BEFORE_S = 2.0


@dataclass
class Releases(ContainerStarter):
    """Processes of the tiny app; ``retire`` is what a drain calls at its end."""

    binary: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def begin(self, version: str) -> AppFront:
        """A new process that answers."""
        port = free_port(HOST)
        env = {"PORT": str(port), "VERSION": version, "LISTEN_HOST": HOST}
        self.running[version] = subprocess.Popen([str(self.binary)], env=env, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection((HOST, port), 1).close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        backends = (Backend(version, HOST, port),)
        return AppFront("shop", "shop", version, f"shop/{version}", backends, verify_token="token-of-the-benchmark")

    def retire(self, app: App, containers: Iterable[tuple[Container, float]]) -> None:
        for container, grace_s in containers:
            self.end(container.id, signal.SIGTERM, grace_s)

    def end(self, version: str, how: signal.Signals, grace_s: float = GRACE_S) -> None:
        process = self.running.pop(version)
        process.send_signal(how)
        try:
            process.wait(grace_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(grace_s)

    def end_all(self) -> None:
        for version in list(self.running):
            self.end(version, signal.SIGKILL)


@dataclass
class Result:
    report: Report
    swaps: int
    load_ms: list[float]
    label_ms: list[float]
    cut: list[CutConnections]


def run(directory: Path, binary: Path, swaps: int, requests: int, *, break_it: bool = False) -> Result:
    """``swaps`` changes, spread over the time that ``requests`` take at the speed that is measured first."""
    front = Front(Address(HOST, 0), directory / "varnish", 64 << 20)
    releases = Releases(binary)
    drainer = Drainer(front, releases)
    result = Result(Report(), swaps, [], [], [])
    try:
        front.ensure_running()
        front.set_hosts({"shop.localhost": "shop"})
        serving = front.load(releases.begin("v0"))
        front.label("shop", serving)
        with visiting(front.address.port, "shop.localhost") as visitors:
            began = time.monotonic()
            time.sleep(LOAD_BEFORE_S)
            for number in range(1, swaps + 1):
                serving = _swap(front, releases, drainer, result, serving, number, break_it)
                while _hits(front) < requests * number / swaps and time.monotonic() - began < 600:
                    time.sleep(0.02)
            result.report = visitors.end()
        drainer.wait(LIMITS.requests_s + GRACE_S)
    finally:
        drainer.stop()
        releases.end_all()
        front.stop()
    return result


def _swap(
    front: Front, releases: Releases, drainer: Drainer, result: Result, serving: str, number: int, break_it: bool
) -> str:
    new = releases.begin(f"v{number}")
    began = time.monotonic()
    name = front.load(new)
    loaded = time.monotonic()
    front.label("shop", name)
    result.load_ms.append((loaded - began) * 1000)
    result.label_ms.append((time.monotonic() - loaded) * 1000)
    old = f"v{number - 1}"
    if break_it:
        releases.end(old, signal.SIGKILL)
        front.discard(serving)
    else:
        ending = [(Container(old, old, 1, number, "web", 1, HOST, 0), GRACE_S)]
        drainer.start(APP, [serving], ending, LIMITS, result.cut.append)
    return name


def _hits(front: Front) -> int:
    """Requests so far, by Varnish's count."""
    command = ["varnishstat", "-n", str(front._server.workdir), "-1", "-f", "MAIN.client_req"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    return int(done.stdout.split()[1])


def print_result(result: Result) -> None:
    report = result.report
    rows = [
        [kind, str(WORKERS.get(kind, "")), f"{count:,}", str(report.failures.get(kind, 0))]
        for kind, count in sorted(report.kinds.items())
    ]
    rows.append(["all", str(sum(WORKERS.values())), f"{report.requests:,}", str(report.failed)])
    rate = f"{report.requests / report.seconds:,.0f} requests/s"
    title = f"{result.swaps} swaps in {report.seconds:.0f} s, {len(report.versions)} releases seen, {rate}"
    show(title, ["kind", "at once", "requests", "failed"], rows)
    cut = sum(c.requests for c in result.cut), sum(c.sockets for c in result.cut)
    print(
        f"\nload {spread(result.load_ms)} ms, label {spread(result.label_ms)} ms; by the limits: {cut[0]} requests cut,"
    )
    print(f"{cut[1]} websockets told to go")
    for sample in report.samples:
        print(f"  {sample}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--swaps", type=int, default=50)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--break-it", action="store_true", help="end the old release before it is drained")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gs-swaps-") as name:
        directory = Path(name)
        directory.chmod(0o711)  # started by root, varnishd goes on as a user of its own
        binary = build_tiny(directory / "tiny")
        result = run(directory, binary, given.swaps, given.requests, break_it=given.break_it)
    print_result(result)
    return 1 if result.report.failed else 0


if __name__ == "__main__":
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    sys.exit(main())
