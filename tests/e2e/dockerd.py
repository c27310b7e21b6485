"""A Docker engine for the tests: the one at the default socket, else an own one that ends with the session."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.e2e import docker_cli
from tests.e2e.harness import free_pool, wait_until

DEFAULT_HOST = "unix:///var/run/docker.sock"


def answers(host: str) -> bool:
    """True when an engine answers there."""
    command = ["docker", "-H", host, "version", "--format", "{{.Server.Version}}"]
    try:
        return subprocess.run(command, capture_output=True, timeout=10, check=False).returncode == 0
    except (subprocess.TimeoutExpired, FileNotFoundError):
        return False


class OwnEngine:
    """A dockerd with its own data, runtime directory and socket; needs root. Containers outlive a ``stop``.

    ``bridge`` names a bridge made for it, so that it can run beside another engine: two must not share docker0 and
    iptables rules, and with ``--bridge=none`` dockerd deletes the docker0 of the other one.
    """

    def __init__(self, base: Path, bridge: str = "") -> None:
        self.base = base
        self.host = f"unix://{base}/docker.sock"
        self._bridge = bridge
        self._options = (f"--bridge={bridge}", "--iptables=false", "--ip-masq=false") if bridge else ()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of dockerd, while it runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Starts dockerd and waits until it answers."""
        if self._bridge and not Path("/sys/class/net", self._bridge).exists():
            subprocess.run(["ip", "link", "add", self._bridge, "type", "bridge"], check=True, timeout=10)
            address = free_pool().replace(".0/22", ".1/24")
            subprocess.run(["ip", "addr", "add", address, "dev", self._bridge], check=True, timeout=10)
        command = [
            "dockerd", "-H", self.host, "--data-root", str(self.base / "data"), "--exec-root", str(self.base / "run"),
            "--pidfile", str(self.base / "dockerd.pid"), "--live-restore", *self._options,
        ]  # fmt: skip
        with (self.base / "dockerd.log").open("ab") as log:
            self._process = process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

        def ready() -> bool:
            assert process.poll() is None, (self.base / "dockerd.log").read_text(errors="replace")[-3000:]
            return answers(self.host)

        wait_until(ready, 60, "dockerd answers", every_s=0.2)

    def stop(self) -> None:
        """SIGTERM, as a service unit does."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)

    def revive(self) -> None:
        """Starts it again after somebody has killed it, as a service unit does."""
        assert self._process is not None
        self._process.wait(10)
        # Its containerd has died with it. Where nobody reaps orphans dockerd would take that for one that runs.
        (self.base / "run" / "containerd" / "containerd.pid").unlink(missing_ok=True)
        self.start()

    def destroy(self) -> None:
        """Removes containers, dockerd, mounts and files."""
        if self._process is not None:
            if self._process.poll() is not None:
                self.revive()
            containers = docker_cli.docker(self.host, "ps", "-aq", check=False).split()
            if containers:
                docker_cli.docker(self.host, "rm", "-f", *containers, check=False)
        self.stop()
        if self._bridge:
            subprocess.run(["ip", "link", "del", self._bridge], timeout=10, check=False)
        for mount in reversed(Path("/proc/mounts").read_text().splitlines()):
            if mount.split()[1].startswith(f"{self.base}/"):
                subprocess.run(["umount", "-l", mount.split()[1]], timeout=30, check=False)
        shutil.rmtree(self.base, ignore_errors=True)


@contextlib.contextmanager
def own_engine(*, beside_another: bool = False) -> Iterator[OwnEngine]:
    """An engine for this test (session) alone, already started."""
    assert shutil.which("dockerd"), "no Docker engine to use, and dockerd is not installed (Debian: docker.io)"
    assert os.geteuid() == 0, "starting a Docker engine needs root"
    base = Path(tempfile.mkdtemp(prefix="gs-dockerd-"))
    own = OwnEngine(base, f"gsb{base.name[-8:]}" if beside_another else "")
    try:
        own.start()
        yield own
    finally:
        own.destroy()


@contextlib.contextmanager
def engine() -> Iterator[str]:
    """The address of an engine that answers."""
    host = os.environ.get("DOCKER_HOST", DEFAULT_HOST)
    if answers(host):
        yield host
        return
    with own_engine() as own:
        yield own.host
