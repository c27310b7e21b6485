"""What 200 deploys over 10 apps leave behind, under load: memory, descriptors, threads, containers, images, VCLs, disk.

Everything is measured whenever nothing is under way; from the 50th deploy on it has to stay as it is. The engine is an
own one, so that nothing else is counted. `python -m tests.bench.soak [--deploys N] [--apps N]`; 1 when something grows.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from docker import APIClient

from tests.bench.table import show
from tests.e2e import apps, dockerd
from tests.e2e.agreement import await_agreement, loaded_vcls
from tests.e2e.harness import Server, running
from tests.e2e.load import load

EVERY = 10
SETTLED = 50  # from here on everything is flat
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
MB = 1 << 20
# What may be more at the end than at SETTLED, beside noise: what is kept of each deploy on purpose, and nothing else.
ALLOWED_KB_A_DEPLOY = {
    "gitship MB": 60.0,  # pages that malloc keeps: of Python's own memory it is 1 KB (tracemalloc)
    "varnishd MB": 40.0,
    "dockerd MB": 60.0,
    "database MB": 12.0,  # its record, its release, its audit line
    "logs MB": 24.0,  # its output
    "repositories MB": 120.0,  # its objects: three loose ones, a file system block each, and the changed file
    # Compiled VCLs, 140 KB each, are tidied up a hundred at a time; a sample is taken every ten.
    "varnish files MB": 16.0,
    "docker files MB": 60.0,
}
ALLOWED_MORE = {"threads": 4, "fds": 8}


@dataclass(frozen=True, slots=True)
class Process:
    """What a process (and those below it, by name) uses."""

    rss_bytes: int
    fds: int
    threads: int


def measured(pids: list[int]) -> Process:
    """All of them together."""
    rss = fds = threads = 0
    for pid in pids:
        proc = Path(f"/proc/{pid}")
        rss += int((proc / "statm").read_text().split()[1]) * PAGE_BYTES
        fds += len(list((proc / "fd").iterdir()))
        threads += len(list((proc / "task").iterdir()))
    return Process(rss, fds, threads)


def below(pid: int) -> list[int]:
    """The process and all its descendants."""
    children = [int(c) for task in Path(f"/proc/{pid}/task").iterdir() for c in (task / "children").read_text().split()]
    return [pid, *(found for child in children for found in below(child))]


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
        own = measured([server.process.pid])
        varnish = measured(server.varnishd())
        engine = below(self._engine.pid)
        docker = measured(named(engine, "dockerd", "containerd"))
        label = {"label": f"gitship.server={server.server_id()}"}
        return {
            "gitship MB": own.rss_bytes / MB,
            "gitship fds": own.fds,
            "gitship threads": own.threads,
            "varnishd MB": varnish.rss_bytes / MB,
            "varnishd fds": varnish.fds,
            "dockerd MB": docker.rss_bytes / MB,
            "dockerd fds": docker.fds,
            "dockerd threads": docker.threads,
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


def verdict(samples: dict[int, dict[str, float]]) -> tuple[list[list[str]], list[str]]:
    """A row for each figure, and the names of those that grow: the most of the last third beside that of the first."""
    last = max(samples)
    settled = min(SETTLED, last)
    third = (last - settled) / 3
    rows, growing = [], []
    for name, first in samples[min(samples)].items():
        before = max(sample[name] for number, sample in samples.items() if settled <= number <= settled + third)
        after = max(sample[name] for number, sample in samples.items() if number >= last - third)
        more, deploys = after - before, max(1.0, 2 * third)
        if name.endswith("MB"):
            flat = more * 1024 / deploys <= ALLOWED_KB_A_DEPLOY[name]
            told = f"{more * 1024 / deploys:+.1f} KB"
        else:
            flat = more <= ALLOWED_MORE.get(name.split()[-1], 0)
            told = f"{more / deploys:+.2f}"
        growing += [] if flat else [name]
        numbers = [f"{value:.1f}" if name.endswith("MB") else f"{value:.0f}" for value in (first, before, after)]
        rows.append([name, *numbers, told, "flat" if flat else "GROWS"])
    return rows, growing


@contextmanager
def visited(server: Server, names: list[str], versions: list[str]) -> Iterator[list[str]]:
    """Visitors of two of the apps; at the end what failed, a sentence each."""
    wrong: list[str] = []
    with ExitStack() as stack:
        loads = [
            stack.enter_context(
                load(server.http_port, f"{name}.localhost", versions, workers=4, pause_ms=30, slow_ms=500, streams=0)
            )
            for name in names
        ]
        yield wrong
        reports = [running_load.end() for running_load in loads]
    print(f"{sum(r.requests for r in reports)} requests, {sum(r.failed for r in reports)} failed")
    wrong += [f"{name}: {r.failures} {r.samples}" for name, r in zip(names, reports, strict=True) if r.failed]


def soak(deploys: int, count: int) -> int:
    """Prints the table; 1 when anything grows or a request failed."""
    with ExitStack() as stack:
        base = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gs-soak-")))
        base.chmod(0o711)
        binary = apps.build_tiny(base / "tiny")
        engine = stack.enter_context(dockerd.own_engine(beside_another=dockerd.answers(dockerd.DEFAULT_HOST)))
        server = stack.enter_context(running(base / "server", engine.host, lambda: False))
        names = [f"app{n}" for n in range(count)]
        repositories = {name: apps.tiny(base / name, binary) for name in names}
        for name, repository in repositories.items():
            server.push_ok(repository, name)
        versions = [f"v{n}" for n in range(1, deploys // count + 3)]
        await_agreement(server)
        looking = Soak(server, engine)
        samples = {0: looking.sample()}
        with visited(server, names[:2], versions) as wrong:
            for number in range(1, deploys + 1):
                name, version = names[number % count], f"v{2 + number // count}"
                files = {"Dockerfile": apps.tiny_dockerfile(version), "note": f"deploy {number}\n" * 20}
                apps.commit(repositories[name], version, files)
                server.push_ok(repositories[name], name)
                if number % EVERY == 0 or number == deploys:
                    await_agreement(server)
                    samples[number] = looking.sample()
                    print(number, {name: round(value, 1) for name, value in samples[number].items()}, flush=True)
        rows, growing = verdict(samples)
    header = ["what", "at the start", f"most from {SETTLED} on", "most at the end", "a deploy", ""]
    show(f"{deploys} deploys over {count} apps", header, rows)
    print(f"\ngrows: {', '.join(growing)}" if growing else "\nall is flat")
    print(*wrong, sep="\n")
    return 1 if growing or wrong else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deploys", type=int, default=200)
    parser.add_argument("--apps", type=int, default=10)
    given = parser.parse_args()
    sys.exit(soak(given.deploys, given.apps))
