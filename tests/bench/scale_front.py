"""Varnish with 1,000 apps beside Varnish with one, in the same run: what a switch takes, and what an app costs.

At the level of VCL; nothing listens at the backends' addresses. `python -m tests.bench.scale_front [--apps N]`. The
figure to hold: a switch with 1,000 apps takes at most 1.3 of what it takes with one. The busiest apps, which a new
varnishd has first, are here the last of all by name.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic as now
from time import time_ns

from gitship.config_values import Address
from gitship.front.boot_order import AT_ONCE
from gitship.front.front import AppFront, Backend, Front
from gitship.front.host_table_vcl import TOP_PREFIX, top_vcl
from tests.bench.table import median, paired_ratio, show, spread
from tests.e2e.front.asking import ask
from tests.waiting import wait_until

TARGET = "<= 1.3"
SWITCHES = 15
RESTART_S = 300.0


def app(number: int, release: int) -> AppFront:
    name = f"app-{number:04}"
    backends = (Backend(f"{name}.web.1.v{release}", "127.0.0.1", 9),)
    return AppFront(name, name, f"v{release}", f"{number}/{release}", backends, verify_token="token-of-the-benchmark")


def hosts(apps: int) -> dict[str, str]:
    return {f"app-{number:04}.example.com": f"app-{number:04}" for number in range(apps)}


def busiest(apps: int) -> list[str]:
    return list(dict.fromkeys(reversed(hosts(apps).values())))[:AT_ONCE]


@contextmanager
def varnish(directory: Path, apps: int) -> Iterator[Front]:
    front = Front(Address("127.0.0.1", 0), directory / "varnish", 64 << 20, lambda: busiest(apps))
    try:
        front.ensure_running()
        yield front
    finally:
        front.stop()


def switch(front: Front, release: int) -> tuple[float, float, float]:
    """Milliseconds to load, to label (which writes the start file), and to discard."""
    began = now()
    name = front.load(app(0, release))
    loaded = now()
    old = front.label("app-0000", name)
    labelled = now()
    front.discard(old or "")
    ended = now()
    return (loaded - began) * 1000, (labelled - loaded) * 1000, (ended - labelled) * 1000


def worker(front: Front) -> int:
    manager = front._server._varnishd.pid()
    assert manager is not None
    [pid] = front._server._varnishd._daemon.processes() - {manager}
    return pid


@dataclass(frozen=True)
class Memory:
    """Of a process, in KB; what is ``clean`` of it is read from files, and given back when memory is short."""

    all: float
    clean: float

    @classmethod
    def of(cls, pid: int | None) -> Memory:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        found = {name: int(kb) for name, kb in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE)}
        return cls(found["Pss"], found["Private_Clean"])

    def more_than(self, before: Memory, apps: int) -> str:
        return f"{(self.all - before.all) / apps:.1f} KB ({(self.clean - before.clean) / apps:.0f} of files)"


def processor_s(pid: int | None) -> float:
    """Of a process and its ended children, such as compilers."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def disk_kb(directory: Path) -> float:
    return sum(path.lstat().st_blocks * 512 for path in directory.rglob("*") if path.is_file()) / 1024


def seconds_until_served(front: Front, names: Sequence[str], began: float) -> float:
    """Until each of the apps is answered for by its own VCL: by its page that says that it is down, with its name."""

    def served(name: str) -> bool:
        try:
            return name in ask(front.address, f"{name}.example.com").text
        except OSError:
            return False

    for name in names:
        wait_until(partial(served, name), RESTART_S, f"{name} is served again", every_s=0.01)
    return now() - began


def compare(apps: int) -> None:
    with ExitStack() as stack:
        small, large = (stack.enter_context(varnish(_directory(stack), count)) for count in (1, apps))
        small.reload([app(0, 1)], hosts(1))
        before = Memory.of(worker(large)), Memory.of(large._server._varnishd.pid())
        before_kb = disk_kb(large._server.workdir)
        began, idle_s = now(), processor_s(large._server._varnishd.pid())
        large.reload([app(number, 1) for number in range(apps)], hosts(apps))
        first_s, compiling_s = now() - began, processor_s(large._server._varnishd.pid()) - idle_s
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
        _costs(large, apps, (first_s, compiling_s), before, before_kb)


def _costs(
    front: Front, apps: int, load_s: tuple[float, float], before: tuple[Memory, Memory], before_kb: float
) -> None:
    every = list(hosts(apps).values())
    rows = [
        ["memory of an app, worker", Memory.of(worker(front)).more_than(before[0], apps)],
        ["memory of an app, manager", Memory.of(front._server._varnishd.pid()).more_than(before[1], apps)],
        ["disk of an app (compiled)", f"{(disk_kb(front._server.workdir) - before_kb) / apps:.0f} KB"],
        ["first load of all", f"{load_s[0]:.1f} s, {load_s[0] * 1000 / apps:.0f} ms each"],
        ["processor time of that, for an app", f"{load_s[1] * 1000 / apps:.1f} ms"],
        ["table of hosts, compiled and in use", f"{median([_table_s(front, apps) for _ in range(3)]):.2f} s"],
    ]
    os.kill(worker(front), signal.SIGKILL)
    rows.append(["worker killed: all apps served again after", f"{seconds_until_served(front, every, now()):.1f} s"])
    os.kill(front._server._varnishd.pid() or 0, signal.SIGKILL)
    wait_until(lambda: front._server._varnishd.pid() is None, 30, "the manager is gone")
    began = now()
    with ThreadPoolExecutor(1) as pool:
        started = pool.submit(front.ensure_running)
        for what, names in (("the busiest app", busiest(apps)[:1]), (f"the {AT_ONCE} busiest", busiest(apps))):
            after_s = seconds_until_served(front, names, began)
            rows.append([f"manager killed: {what} served again after", f"{after_s:.1f} s"])
        started.result()
    rows.append(["manager killed: all served again after", f"{seconds_until_served(front, every, began):.1f} s"])
    show(f"Varnish with {apps} apps", ["what", "costs"], rows)


def _table_s(front: Front, apps: int) -> float:
    """A name more, as `domains:add` does it."""
    text = top_vcl({**hosts(apps), f"more-{time_ns()}.example.com": "app-0000"})
    name = f"{TOP_PREFIX}{time_ns() // 1_000_000}"
    began = now()
    front._control.inline(name, text)
    front._control.command("vcl.use", name)
    return now() - began


def _directory(stack: ExitStack) -> Path:
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gs-scale-")))
    directory.chmod(0o711)  # started by root, varnishd goes on as a user of its own
    return directory


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--apps", type=int, default=1000)
    compare(parser.parse_args().apps)
