"""`python -m tests.bench.push`: how long a push takes, against the floor and against OpenSSH, measured in the same run.

1. One changed file of a tiny app: `git push` to the first answer of the new release through Varnish. The floor beside
   it does the same build through the Engine API, creates and starts a container, and waits for its first answer.
2. One changed line in a repository of 3,000 files and 300 MB, against `docker build` in a checkout.
3. Receiving history of 20 files, about 12 MiB and about 120 MiB: gitship's SSH and receive-pack against sshd and git.

Prints tables of medians and paired ratios; never fails on time.
"""

from __future__ import annotations

import argparse
import io
import json
import tarfile
import tempfile
import time
import urllib.parse
from pathlib import Path

import docker

from tests.bench import large, receive
from tests.bench.pushing import push_once, server_for, stage_times, start_once
from tests.bench.table import median, paired_ratio, show, spread
from tests.e2e import apps, docker_cli, dockerd

APP = "bench"
DOCKERFILE = (
    'FROM scratch\nCOPY tiny /tiny\nCOPY page.txt /page.txt\nENV VERSION={version}\nEXPOSE 8000\nCMD ["/tiny"]\n'
)


def change(repository: Path, version: str) -> None:
    apps.commit(repository, version, {"Dockerfile": DOCKERFILE.format(version=version), "page.txt": version})


def context(tiny: Path, version: str) -> bytes:
    """The build context that the floor sends: the same files as the push."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        root = tarfile.TarInfo(".")
        root.type, root.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(root)
        files = {"Dockerfile": DOCKERFILE.format(version=version).encode(), "page.txt": version.encode()}
        for name, data, mode in [(n, d, 0o644) for n, d in files.items()] + [("tiny", tiny.read_bytes(), 0o755)]:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), mode
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def floor_once(host: str, tiny: Path, version: str, label: str) -> tuple[float, float]:
    """Seconds of (build through the Engine API, create + start + first answer); the container is removed after."""
    api = docker.APIClient(base_url=host, version="1.41", timeout=60)
    data = context(tiny, version)
    began = time.monotonic()
    query = urllib.parse.urlencode({"version": "2", "t": f"{label}:{version}", "labels": json.dumps({label: "1"})})
    url = f"{api.base_url}/v{api.api_version}/build?{query}"
    answer = api.post(url, data=data, headers={"Content-Type": "application/x-tar"}, stream=True)
    for line in answer.iter_lines():
        if b'"error"' in line:
            raise RuntimeError(line.decode())
    built = time.monotonic()
    answered = start_once(api, f"{label}:{version}", label, version)
    api.remove_image(f"{label}:{version}", force=True)
    return built - began, answered


def push_to_live(runs: int) -> None:
    label = f"gitship-bench-{int(time.time())}"
    with (
        dockerd.engine() as host,
        tempfile.TemporaryDirectory(prefix="gs-tiny-") as directory,
        server_for(host) as server,
    ):
        tiny = apps.build_tiny(Path(directory) / "tiny")
        repository = apps.new_repository(Path(directory) / "repository", {"tiny": tiny.read_bytes()})
        (repository / "tiny").chmod(0o755)
        network = docker.APIClient(base_url=host, version="1.41").create_network(label, labels={label: "1"})["Id"]
        try:
            change(repository, "warm-up")
            push_once(server, repository, APP, "warm-up")
            floor_once(host, tiny, "floor-warm-up", label)
            pushes, builds, starts = [], [], []
            for run in range(runs):
                change(repository, f"push-{run}")
                pushes.append(push_once(server, repository, APP, f"push-{run}"))
                built, started = floor_once(host, tiny, f"floor-{run}", label)
                builds.append(built)
                starts.append(started)
                time.sleep(1.0)  # let the old container go: its end is off the measured path
            floors = [b + s for b, s in zip(builds, starts, strict=True)]
            rows = [
                ["git push to first answer", spread(pushes), ""],
                ["floor: build + create + start + answer", spread(floors), ""],
                ["floor: build", spread(builds), ""],
                ["floor: create + start + answer", spread(starts), ""],
                ["ratio to the floor, paired", f"{paired_ratio(pushes, floors):.2f}", "1.6 or less"],
                ["more than the floor", f"{median(pushes) - median(floors):.2f}", "0.5 or less"],
            ]
            rows += [[f"stage: {stage}", spread(seconds), ""] for stage, seconds in stage_times(server).items()]
            show(f"One changed file, {runs} runs, seconds: median (least..most)", ["", "s", "target"], rows)
        finally:
            docker_cli.docker(host, "network", "rm", network, check=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=9, help="pushes measured (default: %(default)s)")
    parser.add_argument("--only", choices=["live", "large", "receive"], help="one part only")
    arguments = parser.parse_args()
    if arguments.only in (None, "receive"):
        receive.sshd_program()  # before the minutes of the first parts
    if arguments.only in (None, "live"):
        push_to_live(arguments.runs)
    if arguments.only in (None, "large"):
        large.compare(arguments.runs)
    if arguments.only in (None, "receive"):
        receive.compare()


if __name__ == "__main__":
    main()
