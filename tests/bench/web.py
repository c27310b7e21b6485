"""The status page under many eyes: 200 log streams while 10 apps print 100 lines/s each; the overview of 100 apps.

`python -m tests.bench.web [--viewers N] [--seconds S]`; the figures to hold: a line is with every viewer within 250 ms
(p95), the overview of 100 apps takes the server 50 ms (p95) and weighs 150 kB.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import html
import http.client
import json
import os
import re
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from gitship.config import Settings, WebSettings
from gitship.events import Bus
from gitship.front.traffic_counters import TrafficMinute
from gitship.git.repository import Commit
from gitship.model import Container, DeployKind, DeployState, Process, StageTime, UptimeDay
from gitship.model.traffic import Traffic, bucket, no_latency
from gitship.model.uptime import DAY_S
from tests.bench.table import show
from tests.e2e import apps, dockerd
from tests.e2e.harness import Server, running
from tests.unit.web.conftest import Site

TALKERS = 10
TALKER = """\
FROM scratch
COPY busybox /bin/sh
COPY busybox /bin/busybox
EXPOSE 8000
CMD ["/bin/sh", "-c", "busybox httpd -f -p 8000 -h / & while :; do i=0; while [ $i -lt 10 ]; do \
echo $i a line of a shop that sells things to people who look around; i=$((i+1)); done; busybox usleep 100000; done"]
"""
APPS = 100
REQUESTS = 200
TICKS_S = os.sysconf("SC_CLK_TCK")


def talkers(server: Server, directory: Path) -> list[str]:
    """Apps that print 100 lines/s each."""
    binary = Path(shutil.which("busybox") or "/bin/busybox")
    for number in range(TALKERS):
        path = directory / f"talker-{number}"
        path.mkdir()
        shutil.copy(binary, path / "busybox")
        (path / "Dockerfile").write_text(TALKER)
        apps.git(path, "init", "-q", "-b", "main")
        apps.commit(path, "Talks")
        server.push_ok(path, f"talker-{number}")
    return [f"talker-{number}" for number in range(TALKERS)]


def cookie(server: Server) -> str:
    path = server.ssh("web").stdout.strip().partition(f":{server.web_port}")[2]
    connection = http.client.HTTPConnection("127.0.0.1", server.web_port, timeout=60)
    connection.request("POST", path)
    return connection.getresponse().headers["Set-Cookie"].partition(";")[0]


def cpu_s(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_S


def rss_kb(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) if found else 0


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


class Viewer:
    """An open stream. ``reads``: parses it and notes how old each line is when it comes; else only takes it."""

    def __init__(self, server: Server, path: str, cookie: str, reads: bool) -> None:
        self._server, self._path, self._cookie, self._reads = server, path, cookie, reads
        self.delays: list[float] = []
        self.bytes = 0
        self.lost = False

    async def run(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._server.web_port, limit=1 << 22)
        writer.write(f"GET {self._path} HTTP/1.1\r\nHost: localhost\r\nCookie: {self._cookie}\r\n\r\n".encode())
        try:
            while True:
                data = await (reader.readline() if self._reads else reader.read(1 << 16))
                if not data:
                    self.lost = True
                    return
                self.bytes += len(data)
                if self._reads and data.startswith(b"data: ["):
                    now = time.time()
                    self.delays += [now - row[0] for row in json.loads(data[6:])]
        finally:
            writer.close()


async def watch(server: Server, names: Sequence[str], cookie: str, viewers: int, seconds: float) -> list[list[str]]:
    """Rows of the table: first nobody watches, then all do."""
    assert server.process
    pid = server.process.pid
    before, began, quiet_kb = cpu_s(pid), time.monotonic(), rss_kb(pid)
    await asyncio.sleep(seconds / 2)
    idle = (cpu_s(pid) - before) / (time.monotonic() - began)
    pages = {}
    for name in names:
        connection = http.client.HTTPConnection("127.0.0.1", server.web_port, timeout=60)
        connection.request("GET", f"/apps/{name}/logs", headers={"Cookie": cookie})
        found = re.search(r'data-stream="([^"]+)"', connection.getresponse().read().decode())
        assert found
        pages[name] = html.unescape(found[1])
    open_ = [Viewer(server, pages[names[n % len(names)]], cookie, n < len(names)) for n in range(viewers)]
    tasks = [asyncio.create_task(viewer.run()) for viewer in open_]
    await asyncio.sleep(3)  # until all are there
    for viewer in open_:
        viewer.delays.clear()
    before, began = cpu_s(pid), time.monotonic()
    await asyncio.sleep(seconds)
    busy = (cpu_s(pid) - before) / (time.monotonic() - began)
    grown_kb = rss_kb(pid) - quiet_kb
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    delays = [delay for viewer in open_ for delay in viewer.delays]
    rate = len(delays) / seconds / len(names)
    return [
        ["streams open, lost", f"{viewers}, {sum(v.lost for v in open_)}"],
        ["lines/s of an app, as a viewer sees them", f"{rate:.0f}"],
        ["a line's delay, p50", f"{1000 * percentile(delays, 0.5):.0f} ms"],
        ["a line's delay, p95 (250 ms)", f"{1000 * percentile(delays, 0.95):.0f} ms"],
        ["server's CPU, nobody watches", f"{100 * idle:.1f} %"],
        ["server's CPU, all watch", f"{100 * busy:.1f} %"],
        ["CPU of a viewer", f"{100 * (busy - idle) / viewers:.2f} %"],
        ["memory of a viewer", f"{grown_kb / viewers:.0f} kB"],
    ]


def full_site(directory: Path, apps: int = APPS, *, public: bool = False) -> Site:
    """Apps with releases, deploys, containers, an hour of visitors and 90 days of uptime."""
    site = Site(directory / "data", Bus(), Settings(data_dir=directory / "data", web=WebSettings(public=public)))
    processes = (Process("web", port=5000), Process("worker"))
    today = int(time.time() // DAY_S)
    for number in range(apps):
        app = site.store.create_app(f"app-{number:03}")
        for turn in range(3):
            sha = f"{number:020x}{turn:020x}"
            site.memory.facts.commits[sha] = Commit(sha, "Add basket to the checkout page", "Ada <a@x>", 0.0)
            deploy = site.store.create_deploy(app.id, DeployKind.PUSH, "ada", commit=sha, cause=f"push {sha[:7]}")
            release = site.store.create_release(
                app.id, commit=sha, image_id=f"sha256:{turn}", image_bytes=84_000_000,
                config={f"N{n}": "x" for n in range(20)}, processes=processes,
                cause=deploy.cause, created_by="ada",
            )  # fmt: skip
            now = time.time()
            stages = tuple(StageTime(s, now, 1.0) for s in (DeployState.BUILDING, DeployState.STARTING))
            site.store.update_deploy(
                dataclasses.replace(
                    deploy, state=DeployState.LIVE, release_id=release.id, finished_at=now, stages=stages
                )
            )
        containers = [
            Container(f"{number}-{n}", f"{app.name}.web.{n}.v3", app.id, release.id, "web", n, "10.231.0.4", 5000)
            for n in range(2)
        ]
        site.store.set_live(app.id, release.id, containers)
        now = int(time.time())
        minutes = [TrafficMinute(app.id, now - 60 * n, busy(number + n)) for n in range(60, 0, -1)]
        site.memory.tally.restore(minutes)
        site.store.add_uptime(
            UptimeDay(app.id, today - n, up_s=86_400.0, down_s=60.0 if (number + n) % 17 == 0 else 0.0)
            for n in range(90 - number % 7)
        )
    return site


def busy(number: int) -> Traffic:
    """A minute of an app that has visitors, another for each number."""
    latency = no_latency()
    latency[bucket(0.05)] = 600 + number * 37 % 200
    return Traffic(hits=300 + number * 37 % 200, misses=300, app_errors=1, latency=latency)


def overview(directory: Path) -> list[list[str]]:
    """The server's time for the page: nothing kept from the last one, then as 200 viewers get it, against /healthz."""
    site = full_site(directory)
    site.server.start()
    try:
        weight = len(site.get("/").text.encode())

        def times(path: str, host: str) -> list[float]:
            found = []
            for number in range(REQUESTS):
                began = time.perf_counter()
                assert site.get(path, host=host.format(number)).status == 200
                found.append(1000 * (time.perf_counter() - began))
            return found

        fresh, kept, least = times("/", "n{}.localhost"), times("/", "localhost"), times("/healthz", "localhost")
        app_page = times("/apps/app-007", "localhost")
        month = times("/apps/app-007?span=month", "localhost")
    finally:
        site.server.stop()
        site.store.close()
    rows = []
    for name, taken in (
        ("made anew (50 ms)", fresh),
        ("kept", kept),
        ("an app's page", app_page),
        ("with 30 days", month),
        ("/healthz", least),
    ):
        ratio = statistics.median(taken) / statistics.median(least)
        rows.append([name, f"{percentile(taken, 0.5):.1f} ms", f"{percentile(taken, 0.95):.1f} ms", f"{ratio:.1f}"])
    return [*rows, ["weight (150 kB)", f"{weight / 1000:.0f} kB", "", ""]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--viewers", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gs-web-") as name:
        directory = Path(name)
        directory.chmod(0o711)  # started by root, varnishd goes on as a user of its own
        show(f"Overview of {APPS} apps", ("page", "p50", "p95", "ratio to /healthz"), overview(directory))
        with dockerd.engine() as host, running(directory / "server", host, lambda: False) as server:
            names = talkers(server, directory)
            rows = asyncio.run(watch(server, names, cookie(server), options.viewers, options.seconds))
        show(f"{options.viewers} log streams of {TALKERS} apps", ("what", "figure"), rows)


if __name__ == "__main__":
    main()
