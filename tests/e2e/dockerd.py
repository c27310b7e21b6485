"""A Docker engine for the tests: the one at the default socket, else an own one that ends with the session."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.harness import wait_until

DEFAULT_HOST = "unix:///var/run/docker.sock"


def answers(host: str) -> bool:
    """True when an engine answers there."""
    command = ["docker", "-H", host, "version", "--format", "{{.Server.Version}}"]
    try:
        return subprocess.run(command, capture_output=True, timeout=10, check=False).returncode == 0
    except (subprocess.TimeoutExpired, FileNotFoundError):
        return False


@contextlib.contextmanager
def own_engine(*options: str) -> Iterator[str]:
    """A dockerd with its own data, runtime directory and socket; needs root. Yields its address."""
    assert shutil.which("dockerd"), "no Docker engine answers and dockerd is not installed (Debian: docker.io)"
    assert os.geteuid() == 0, "no Docker engine answers, and starting one needs root"
    base = Path(tempfile.mkdtemp(prefix="gitship-dockerd-"))
    host = f"unix://{base}/docker.sock"
    log = (base / "dockerd.log").open("wb")
    command = [
        "dockerd", "-H", host, "--data-root", str(base / "data"), "--exec-root", str(base / "run"),
        "--pidfile", str(base / "dockerd.pid"), "--live-restore", *options,
    ]  # fmt: skip
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    try:

        def ready() -> bool:
            assert process.poll() is None, (base / "dockerd.log").read_text(errors="replace")[-3000:]
            return answers(host)

        wait_until(ready, 60, "dockerd answers", every_s=0.2)
        yield host
        subprocess.run(
            ["sh", "-c", 'ids=$(docker -H "$1" ps -aq); [ -z "$ids" ] || docker -H "$1" rm -f $ids', "sh", host],
            capture_output=True, timeout=60, check=False,
        )  # fmt: skip
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        log.close()
        for mount in reversed(Path("/proc/mounts").read_text().splitlines()):
            if mount.split()[1].startswith(f"{base}/"):
                subprocess.run(["umount", "-l", mount.split()[1]], timeout=30, check=False)
        shutil.rmtree(base, ignore_errors=True)


@contextlib.contextmanager
def engine() -> Iterator[str]:
    """The address of an engine that answers."""
    host = os.environ.get("DOCKER_HOST", DEFAULT_HOST)
    if answers(host):
        yield host
        return
    with own_engine() as host:
        yield host
