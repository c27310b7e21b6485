"""What gitship, its front and its log reader take: proportional set sizes with five apps, idle and after load.

`python -m tests.bench.memory [--apps N] [--seconds S] [--memory SIZE]`. What Varnish's cache holds is counted apart: it
is as large as it is told to be. The proportional set size (`/proc/PID/smaps_rollup`) shares what processes have in
common among them.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.bench.table import show
from tests.e2e import apps, dockerd
from tests.e2e.harness import Server, running
from tests.waiting import wait_until

MB = 1 << 20
IDLE_S = 10.0
LIMIT_MB = 150.0
ROLES = ("gitship", "varnishd", "log reader", "haproxy")


def pss(pid: int) -> float:
    """Proportional set size of a process, MB; 0 when it has just ended."""
    return _rollup(pid, "Pss:")


def private(pid: int) -> float:
    """What only this process has in memory, MB: other programs that come and go do not change it."""
    return _rollup(pid, "Private_")


def _rollup(pid: int, prefix: str) -> float:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith(prefix)) / 1024


def below(pid: int) -> set[int]:
    """The process and all its children."""
    found, parents = {pid}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def role(pid: int, main: int) -> str:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    name = Path(words[0].decode(errors="replace")).name
    if pid == main:
        return "gitship"
    return {"varnishd": "varnishd", "cache-main": "varnishd", "varnishncsa": "log reader", "haproxy": "haproxy"}.get(
        name, "gitship" if name.startswith("python") else name
    )


def measured(server: Server, size: Callable[[int], float] = pss) -> dict[str, float]:
    """MB by role."""
    assert server.process is not None
    main = server.process.pid
    sums: dict[str, float] = {}
    for pid in {*server.processes(), *below(main)}:
        try:
            name = role(pid, main)
        except OSError:
            continue
        sums[name] = sums.get(name, 0.0) + size(pid)
    return sums


def cached(server: Server) -> float:
    """What the cache's storage has in use, MB."""
    done = subprocess.run(
        ["varnishstat", "-n", str(server.data_dir / "varnish" / "workdir"), "-1", "-f", "SMA.default.g_bytes"],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    return int((done.stdout.split() or ["", "0"])[1]) / MB


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--apps", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--memory", default="", help="varnish.memory; default: by the machine")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gs-") as place, dockerd.engine() as docker_host:
        base = Path(place)
        base.chmod(0o711)
        binary = apps.build_tiny(base / "tiny")
        more: Mapping[str, Any] = {"varnish": {"memory": given.memory}} if given.memory else {}
        with running(base / "server", docker_host, lambda: False, **more) as server:
            server.as_users_do = True
            server.restart()
            names = [f"app{n}" for n in range(given.apps)]
            for name in names:
                server.push_ok(apps.tiny(base / name, binary), name)
            time.sleep(IDLE_S)
            idle = measured(server)
            idle_cache = cached(server)
            load(server, names, given.seconds)
            loaded = measured(server)
            rows = [
                [name, f"{idle.get(name, 0):.1f}", f"{loaded.get(name, 0):.1f}"]
                for name in (*ROLES, *sorted({*idle, *loaded} - {*ROLES}))
            ]
            cache = cached(server)
            sums = sum(idle.values()) - idle_cache, sum(loaded.values()) - cache
            rows.append(["of that the cache's contents", f"{idle_cache:.1f}", f"{cache:.1f}"])
            rows.append(["together, the cache's contents apart", *(f"{each:.1f}" for each in sums)])
            print(f"{len(re.findall('visitors were not counted', server.logs))} times the log's reader was too slow")
            show(f"MB, {given.apps} apps, {given.seconds} s of load", ["", "idle", "after load"], rows)
            return 0 if max(sums) <= LIMIT_MB else 1


def load(server: Server, names: list[str], seconds: int) -> None:
    """All apps at once, kept connections, half of it from the cache."""
    wrk = shutil.which("wrk")
    assert wrk, "wrk is missing: apt-get install wrk"
    loads = [
        subprocess.Popen(
            [
                wrk,
                "-t1",
                "-c8",
                f"-d{seconds}s",
                "-H",
                f"Host: {name}.localhost",
                f"http://127.0.0.1:{server.http_port}/",
            ],
            stdout=subprocess.DEVNULL,
        )
        for name in names
    ]
    for each in loads:
        each.wait(seconds + 30)
    wait_until(lambda: server.get(names[0]).status == 200, 10, "it answers")


if __name__ == "__main__":
    sys.exit(main())
