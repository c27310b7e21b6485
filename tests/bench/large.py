"""A one-line change in a large repository: `git push` to the first answer, against `docker build` in a checkout."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import docker

from gitship.engine import build_cli
from tests.bench.pushing import push_once, server_for, stage_times, start_once
from tests.bench.table import median, paired_ratio, show, spread
from tests.e2e import apps, docker_cli, dockerd

FILES, TOTAL_BYTES, DIRECTORIES = 3000, 300_000_000, 60
APP = "large"
DOCKERFILE = """\
FROM scratch
COPY tiny /tiny
COPY assets /assets
COPY page.txt /page.txt
ENV VERSION={version}
EXPOSE 8000
CMD ["/tiny"]
"""


def make(path: Path, tiny: Path) -> Path:
    """A repository of 3,000 files and 300 MB that nothing compresses."""
    words = random.Random(9)
    files: dict[str, str | bytes] = {"tiny": tiny.read_bytes(), "page.txt": "0\n", "Dockerfile": ""}
    for number in range(FILES - len(files)):
        files[f"assets/d{number % DIRECTORIES:02}/f{number:04}.bin"] = words.randbytes(TOTAL_BYTES // FILES)
    path.mkdir(parents=True)
    apps.git(path, "init", "-q", "-b", "main")
    apps.git(path, "config", "core.compression", "0")
    (path / "tiny").write_bytes(b"")
    (path / "tiny").chmod(0o755)
    apps.commit(path, "All of it", files)
    return path


def change(repository: Path, version: str) -> None:
    """One line of one file, and the version that tells the releases apart."""
    apps.commit(repository, version, {"Dockerfile": DOCKERFILE.format(version=version), "page.txt": f"{version}\n"})


def build_once(client: str, host: str, checkout: Path, version: str, label: str) -> float:
    """Seconds of `docker build` in the checkout; the image has the tag ``label:version``."""
    began = time.monotonic()
    subprocess.run(
        [client, "-H", host, "build", "-q", "-t", f"{label}:{version}", "--label", f"{label}=1", "."],
        cwd=checkout, env={**os.environ, "DOCKER_BUILDKIT": "1"}, check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    return time.monotonic() - began


class Peak(threading.Thread):
    """The most memory (bytes, resident) that a process had while this ran."""

    def __init__(self, pid: int) -> None:
        super().__init__(name="peak", daemon=True)
        self._pid = pid
        self._over = threading.Event()
        self.bytes = 0

    def run(self) -> None:
        while not self._over.wait(0.02):
            with contextlib.suppress(OSError, ValueError, IndexError):
                pages = int(Path(f"/proc/{self._pid}/statm").read_text().split()[1])
                self.bytes = max(self.bytes, pages * os.sysconf("SC_PAGE_SIZE"))

    def __enter__(self) -> Peak:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self.join()


def memory(pid: int) -> float:
    """Resident MB now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def compare(runs: int) -> None:
    label = f"gitship-bench-{int(time.time())}"
    with (
        dockerd.engine() as host,
        tempfile.TemporaryDirectory(prefix="gs-large-") as directory,
        server_for(host) as server,
    ):
        client = build_cli.client(host)
        if client is None:
            print("no docker command with BuildKit is installed here: nothing to compare a large repository with")
            return
        repository = make(Path(directory) / "repository", apps.build_tiny(Path(directory) / "tiny"))
        process = server.process
        assert process is not None
        api = docker.APIClient(base_url=host, version="1.41", timeout=60)
        network = api.create_network(label, labels={label: "1"})["Id"]
        try:
            change(repository, "warm-up")
            first_build = build_once(client, host, repository, "warm-up", label)
            at_first = memory(process.pid)
            with Peak(process.pid) as first:
                began = time.monotonic()
                done = server.push(repository, APP, timeout_s=900)
                assert done.returncode == 0, done.stderr
                first_push = time.monotonic() - began
            pushes, builds, starts, peaks = [], [], [], []
            for run in range(runs):
                change(repository, f"push-{run}")
                builds.append(build_once(client, host, repository, f"push-{run}", label))
                starts.append(start_once(api, f"{label}:push-{run}", label, f"push-{run}"))
                api.remove_image(f"{label}:push-{run}", force=True)
                with Peak(process.pid) as peak:
                    pushes.append(push_once(server, repository, APP, f"push-{run}"))
                peaks.append(peak.bytes / 1e6)
                time.sleep(1.0)  # let the old container go: its end is off the measured path
        finally:
            docker_cli.remove_labelled(host, f"{label}=1")
            docker_cli.docker(host, "network", "rm", network, check=False)
        allowed = [1.3 * build + 0.5 for build in builds]
        more = [p - b - s for p, b, s in zip(pushes, builds, starts, strict=True)]
        rows = [
            ["git push to first answer", spread(pushes), f"{median(allowed):.2f} or less"],
            ["docker build in a checkout", spread(builds), ""],
            ["create, start and first answer alone", spread(starts), ""],
            ["more than both, paired", f"{median(more):.2f}", ""],
            ["push to 1.3 builds and 0.5 s, paired", f"{paired_ratio(pushes, allowed):.2f}", "1.00 or less"],
            ["the first push, received and built", f"{first_push:.2f}", ""],
            ["the first docker build", f"{first_build:.2f}", ""],
            ["gitship's memory before and in the first push, MB", f"{at_first:.0f}, {first.bytes / 1e6:.0f}", ""],
            ["gitship's memory in the other pushes, MB", spread(peaks), "flat"],
        ]
        rows += [[f"stage: {stage}", spread(seconds), ""] for stage, seconds in stage_times(server).items()]
        show(
            f"One line of {FILES} files and {TOTAL_BYTES / 1e6:.0f} MB, {runs} runs, seconds: median (least..most)",
            ["", "s", "target"], rows,
        )  # fmt: skip
