"""Varnish with 1,000 apps beside Varnish with one, in the same run: what a switch takes, and what an app costs.

At the level of VCL; nothing listens at the backends' addresses. `python -m tests.bench.scale_front [--apps N]`. The
figure to hold: a switch with 1,000 apps takes at most twice what it takes with one.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from gitship.configvalues import Address
from gitship.front.front import AppFront, Backend, Front
from gitship.front.hosts import TOP_PREFIX, top_vcl
from tests.bench.table import median, paired_ratio, show, spread
from tests.e2e.front.asking import ask
from tests.e2e.harness import wait_until

TARGET = "<= 2"
SWITCHES = 15
RESTART_S = 300.0


def app(number: int, release: int) -> AppFront:
    name = f"app-{number:04}"
    backends = (Backend(f"{name}.web.1.v{release}", "127.0.0.1", 9),)
    return AppFront(name, name, f"v{release}", f"{number}/{release}", backends, verify_token="token-of-the-benchmark")


def hosts(apps: int) -> dict[str, str]:
    return {f"app-{number:04}.example.com": f"app-{number:04}" for number in range(apps)}


@contextmanager
def varnish(directory: Path) -> Iterator[Front]:
    front = Front(Address("127.0.0.1", 0), directory / "varnish", 64 << 20)
    try:
        front.ensure_running()
        yield front
    finally:
        front.stop()


def switch(front: Front, release: int) -> tuple[float, float, float]:
    """Milliseconds to load, to label (which writes the start file), and to discard."""
    began = time.monotonic()
    name = front.load(app(0, release))
    loaded = time.monotonic()
    old = front.label("app-0000", name)
    labelled = time.monotonic()
    front.discard(old or "")
    ended = time.monotonic()
    return (loaded - began) * 1000, (labelled - loaded) * 1000, (ended - labelled) * 1000


def worker(front: Front) -> int:
    manager = front._server._varnishd.pid()
    assert manager is not None
    [pid] = front._server._varnishd._daemon.processes() - {manager}
    return pid


def memory_mb(pid: int) -> float:
    found = re.search(r"^VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else float("nan")


def disk_kb(directory: Path) -> float:
    return sum(path.lstat().st_blocks * 512 for path in directory.rglob("*") if path.is_file()) / 1024


def seconds_until_served(front: Front) -> float:
    """Until an app is answered for (by its page that says that it is down)."""
    began = time.monotonic()

    def served() -> bool:
        try:
            return "app-0000" in ask(front.address, next(iter(hosts(1)))).text
        except OSError:
            return False

    wait_until(served, RESTART_S, "Varnish serves again", every_s=0.01)
    return time.monotonic() - began


def compare(apps: int) -> None:
    with ExitStack() as stack:
        small, large = (stack.enter_context(varnish(_directory(stack))) for _ in range(2))
        small.reload([app(0, 1)], hosts(1))
        before_mb = memory_mb(worker(large)), memory_mb(large._server._varnishd.pid() or 0)
        before_kb = disk_kb(large._server.workdir)
        began = time.monotonic()
        large.reload([app(number, 1) for number in range(apps)], hosts(apps))
        first_s = time.monotonic() - began
        times: dict[str, tuple[list[float], list[float]]] = {
            k: ([], []) for k in ("load", "label", "discard", "switch")
        }
        for release in range(2, SWITCHES + 3):
            pair = switch(small, release), switch(large, release)
            if release == 2:  # the first warms both
                continue
            for side, steps in enumerate(pair):
                for kind, value in zip(("load", "label", "discard"), steps, strict=True):
                    times[kind][side].append(value)
                times["switch"][side].append(steps[0] + steps[1])
        rows = [
            [kind, spread(few), spread(many), f"{paired_ratio(many, few):.2f}", TARGET if kind == "switch" else ""]
            for kind, (few, many) in times.items()
        ]
        show(f"One app's switch, {SWITCHES} times in turn", ["ms", "1 app", f"{apps} apps", "ratio", "target"], rows)
        _costs(large, apps, first_s, before_mb, before_kb)


def _costs(front: Front, apps: int, first_s: float, before_mb: tuple[float, float], before_kb: float) -> None:
    worker_kb = (memory_mb(worker(front)) - before_mb[0]) * 1024 / apps
    manager_kb = (memory_mb(front._server._varnishd.pid() or 0) - before_mb[1]) * 1024 / apps
    rows = [
        ["memory of an app, worker and manager", f"{worker_kb:.0f} + {manager_kb:.1f} KB"],
        ["disk of an app (compiled)", f"{(disk_kb(front._server.workdir) - before_kb) / apps:.0f} KB"],
        ["first load of all", f"{first_s:.1f} s, {first_s * 1000 / apps:.0f} ms each"],
        ["table of hosts, compiled and in use", f"{median([_table_s(front, apps) for _ in range(3)]):.2f} s"],
    ]
    os.kill(worker(front), signal.SIGKILL)
    rows.append(["worker killed: served again after", f"{seconds_until_served(front):.1f} s"])
    manager = front._server._varnishd.pid() or 0
    os.kill(manager, signal.SIGKILL)
    wait_until(lambda: front._server._varnishd.pid() is None, 30, "the manager is gone")
    began = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        started = pool.submit(front.ensure_running)
        rows.append(["manager killed: the first app served again after", f"{seconds_until_served(front):.1f} s"])
        started.result()
    rows.append(["manager killed: all apps served again after", f"{time.monotonic() - began:.1f} s"])
    show(f"Varnish with {apps} apps", ["what", "costs"], rows)


def _table_s(front: Front, apps: int) -> float:
    """A name more, as `domains:add` does it."""
    text = top_vcl({**hosts(apps), f"more-{time.monotonic_ns()}.example.com": "app-0000"})
    name = f"{TOP_PREFIX}{time.time_ns() // 1_000_000}"
    began = time.monotonic()
    front._control.inline(name, text)
    front._control.command("vcl.use", name)
    return time.monotonic() - began


def _directory(stack: ExitStack) -> Path:
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gs-scale-")))
    directory.chmod(0o711)  # started by root, varnishd goes on as a user of its own
    return directory


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--apps", type=int, default=1000)
    compare(parser.parse_args().apps)
