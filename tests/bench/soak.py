"""What 1,000 deploys over 10 apps leave behind, under load: memory, descriptors, threads, containers, VCLs, disk.

Everything is measured whenever nothing is under way; from the 100th deploy on it has to stay as it is. The engine is an
own one, so that nothing else is counted. `python -m tests.bench.soak [--deploys N] [--apps N]`; 1 when something grows.
Memory is what a process has for itself alone (see ``memory.private``).
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import linear_regression

from docker import APIClient

from gitship.process import SIGNAL_POLL_S, TRIM_EVERY_S
from tests.bench import memory
from tests.bench.table import show
from tests.e2e import apps, dockerd
from tests.e2e.agreement import await_agreement, loaded_vcls
from tests.e2e.harness import Server, running
from tests.e2e.load import load

EVERY = 50
TRIMMED_S = TRIM_EVERY_S + 2 * SIGNAL_POLL_S  # within it free pages go back to the system
SETTLED = 100  # from here on everything is flat
MB = 1 << 20
NOISE_KB = 2.0  # of memory: what Varnish's heap, a page cache and one dictionary that doubles come to over 1,000
SURE = 2.0  # standard errors: a slope within them of what is allowed is noise
# What may be more with each deploy from SETTLED on: what is kept of it on purpose, and nothing else.
ALLOWED_KB_A_DEPLOY = {
    "database MB": 12.0,  # its record, its release, its audit line
    "logs MB": 24.0,  # its output
    "repositories MB": 120.0,  # its objects: three loose ones, a file system block each, and the changed file
    "docker files MB": 60.0,
    "dockerd MB": 60.0,
}
ALLOWED_MORE = {"threads": 4, "fds": 8}


def below(pid: int) -> list[int]:
    """The process and all its descendants."""
    children = [int(c) for task in Path(f"/proc/{pid}/task").iterdir() for c in (task / "children").read_text().split()]
    return [pid, *(found for child in children for found in below(child))]


def entries(what: str, pids: list[int]) -> int:
    """Of that directory of /proc: fd, task."""
    return sum(len(list(Path(f"/proc/{pid}/{what}").iterdir())) for pid in pids)


def named(pids: list[int], *names: str) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}/comm").read_text().strip() in names]


def disk(*paths: Path) -> int:
    """Bytes on the disk, as du counts them."""
    done = subprocess.run(["du", "-skc", *map(str, paths)], capture_output=True, text=True, check=False, timeout=300)
    return int(done.stdout.splitlines()[-1].split()[0]) << 10


class Soak:
    """A server with its apps, and what it uses now."""

    def __init__(self, server: Server, engine: dockerd.OwnEngine) -> None:
        self._server = server
        self._engine = engine
        self._docker = APIClient(engine.host, version="auto")

    def sample(self) -> dict[str, float]:
        """By name; MB where the name says so, else a number. Without the build cache, which has a limit of its own."""
        server, data = self._server, self._server.data_dir
        self._docker.prune_builds()
        assert server.process is not None
        sets = memory.measured(server, memory.private)
        docker = named(below(self._engine.pid), "dockerd", "containerd")
        label = {"label": f"gitship.server={server.server_id()}"}
        return {
            "gitship MB": sets["gitship"],
            "gitship fds": entries("fd", [server.process.pid]),
            "gitship threads": entries("task", [server.process.pid]),
            "varnishd MB": sets["varnishd"] - memory.cached(server),
            "varnishd fds": entries("fd", server.varnishd()),
            "log reader MB": sets["log reader"],
            "dockerd MB": sum(map(memory.private, docker)),
            "dockerd fds": entries("fd", docker),
            "dockerd threads": entries("task", docker),
            "containers": len(self._docker.containers(all=True)),
            "images": len(self._docker.images(all=True)),
            "image tags": sum(len(image["RepoTags"] or ()) for image in self._docker.images(filters=label)),
            "networks": len(self._docker.networks()),
            "VCLs": len(loaded_vcls(server)),
            "database MB": self._database_bytes() / MB,
            "logs MB": disk(data / "logs") / MB,
            "repositories MB": disk(data / "repos") / MB,
            "varnish files MB": disk(data / "varnish" / "apps", *(data / "varnish").glob("compiled-*")) / MB,
            "docker files MB": disk(self._engine.base / "data") / MB,
        }

    def _database_bytes(self) -> int:
        """Of its pages in use: beside it there is a log of up to 4 MB, which comes and goes."""
        [(size,)] = self._server.database("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
        return int(size)


def slope(points: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """What each deploy adds, by least squares, and the standard error of that."""
    fit = linear_regression(*zip(*points, strict=True))
    numbers = [number for number, _ in points]
    mean = sum(numbers) / len(numbers)
    rest = sum((value - fit.intercept - fit.slope * number) ** 2 for number, value in points)
    return fit.slope, math.sqrt(rest / max(1, len(points) - 2) / sum((number - mean) ** 2 for number in numbers))


def verdict(samples: dict[int, dict[str, float]]) -> tuple[list[list[str]], list[str]]:
    """A row for each figure, at every hundredth deploy and with its slope from SETTLED on; names of what grows."""
    shown = [number for number in samples if number % SETTLED == 0]
    rows, growing = [], []
    for name in samples[0]:
        points = [(number, sample[name]) for number, sample in samples.items() if number >= SETTLED]
        a_deploy, error = slope(points)
        if is_memory := name.endswith("MB"):
            a_deploy, error = a_deploy * 1024, error * 1024
            flat = a_deploy - SURE * error <= ALLOWED_KB_A_DEPLOY.get(name, NOISE_KB)
        else:
            flat = points[-1][1] - points[0][1] <= ALLOWED_MORE.get(name.split()[-1], 0)
        growing += [] if flat else [name]
        values = [f"{samples[number][name]:.{1 if is_memory else 0}f}" for number in shown]
        told = f"{a_deploy:+.1f} ± {error:.1f} KB" if is_memory else f"{a_deploy:+.3f}"
        rows.append([name, *values, told, "flat" if flat else "GROWS"])
    return rows, growing


@contextmanager
def visited(server: Server, names: list[str], versions: list[str]) -> Iterator[list[str]]:
    """Visitors of two of the apps; at the end what failed, a sentence each."""
    wrong: list[str] = []
    with ExitStack() as stack:
        loads = [
            stack.enter_context(
                load(server.http_port, f"{name}.localhost", versions, workers=2, pause_ms=200, slow_ms=500, streams=0)
            )
            for name in names
        ]
        yield wrong
        reports = [running_load.end() for running_load in loads]
    print(f"{sum(r.requests for r in reports)} requests, {sum(r.failed for r in reports)} failed")
    wrong += [f"{name}: {r.failures} {r.samples}" for name, r in zip(names, reports, strict=True) if r.failed]


def soak(deploys: int, count: int, together: int) -> int:
    """Prints the table; 1 when anything grows or a request failed."""
    with ExitStack() as stack:
        base = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gs-soak-")))
        base.chmod(0o711)
        binary = apps.build_tiny(base / "tiny")
        engine = stack.enter_context(dockerd.own_engine(beside_another=dockerd.answers(dockerd.DEFAULT_HOST)))
        server = stack.enter_context(running(base / "server", engine.host, lambda: False))
        server.as_users_do = True
        server.restart()
        names = [f"app{n}" for n in range(count)]
        repositories = {name: apps.tiny(base / name, binary) for name in names}
        for name, repository in repositories.items():
            server.push_ok(repository, name)
        versions = [f"v{n}" for n in range(1, deploys // count + 3)]
        await_agreement(server)
        looking = Soak(server, engine)
        samples = {0: looking.sample()}
        with visited(server, names[:2], versions) as wrong, ThreadPoolExecutor(together) as pool:
            for number in range(count, deploys + 1, count):
                version = f"v{1 + number // count}"

                def deploy(name: str, version: str = version) -> None:
                    files = {"Dockerfile": apps.tiny_dockerfile(version), "note": f"{version} of {name}\n" * 20}
                    apps.commit(repositories[name], version, files)
                    server.push_ok(repositories[name], name)

                list(pool.map(deploy, names))
                if number % EVERY == 0:
                    await_agreement(server)
                    time.sleep(TRIMMED_S)
                    samples[number] = looking.sample()
                    print(number, {name: round(value, 1) for name, value in samples[number].items()}, flush=True)
        rows, growing = verdict(samples)
    header = ["what", *(str(number) for number in samples if number % SETTLED == 0), f"a deploy from {SETTLED} on", ""]
    show(f"{deploys} deploys over {count} apps", header, rows)
    print(f"\ngrows: {', '.join(growing)}" if growing else "\nall is flat")
    print(*wrong, sep="\n")
    return 1 if growing or wrong else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deploys", type=int, default=1000)
    parser.add_argument("--apps", type=int, default=10)
    parser.add_argument("--together", type=int, default=1, help="pushes at once; each app has one at a time")
    given = parser.parse_args()
    sys.exit(soak(given.deploys, given.apps, given.together))
