"""A Docker engine for the tests: the one at the default socket, else an own one that ends with the session."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.e2e import docker_cli, forky
from tests.e2e.machinenet import MachineNet
from tests.places import free_pool
from tests.waiting import wait_until

UNIFIED = next((p for p in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup") if Path(p, "cgroup.procs").exists()), "")
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
    iptables rules, and with ``--bridge=none`` dockerd deletes the docker0 of the other one. ``service``: in a control
    group of its own, as systemd does it. ``docker`` is a word of ``forky``, "" for the machine's own Docker; it may be
    another at the next start, and so may ``environment``. Without, GITSHIP_TEST_ENGINE says it. ``images``: where a
    containerd of its own keeps images.
    """

    around: tuple[str, ...] = ()  # what dockerd is started by

    def __init__(
        self,
        base: Path,
        bridge: str = "",
        *,
        live_restore: bool = True,
        service: bool = False,
        options: Sequence[str] = (),
        data: Path | None = None,
        docker: str | None = None,
        images: Path | None = None,
    ) -> None:
        self.base = base
        self.data = data or base / "data"
        self.host = f"unix://{base}/docker.sock"
        self._bridge = bridge
        self._options: tuple[str, ...] = (f"--bridge={bridge}", "--iptables=false", "--ip-masq=false") if bridge else ()
        self._options += ("--live-restore",) if live_restore else ()
        self._options += tuple(options)
        self.docker = forky.asked() if docker is None else docker
        self.environment: dict[str, str] = {}
        self._house = forky.House()
        self._images = images
        self._containerd: subprocess.Popen[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._answered = False
        self._before: MachineNet | None = None
        self._group = Path(UNIFIED, base.name, "docker.service") if service else None

    @property
    def pid(self) -> int:
        """Of dockerd, while it runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Starts dockerd and waits until it answers."""
        if not self._bridge and self._before is None:
            self._before = MachineNet.now()
        if self._bridge and not self._has_bridge():
            subprocess.run(["ip", "link", "add", self._bridge, "type", "bridge"], check=True, timeout=10)
            address = free_pool().replace(".0/21", ".1/24")
            subprocess.run(["ip", "addr", "add", address, "dev", self._bridge], check=True, timeout=10)
        nothing = self.base / "daemon.json"
        nothing.write_text("{}\n")  # not the machine's /etc/docker/daemon.json
        command = [
            *self.around, *self._program("dockerd"), "--config-file", str(nothing), *forky.STORES.get(self.docker, ()),
            "-H", self.host, "--data-root", str(self.data), "--exec-root", str(self.base / "run"),
            "--pidfile", str(self.base / "dockerd.pid"), *self._options,
        ]  # fmt: skip
        if self._images is not None:
            command += ["--containerd", self._start_containerd(self._images)]
        self._process = process = self._started(command)
        if self._group is not None:
            self._group.mkdir(parents=True, exist_ok=True)
            (self._group / "cgroup.procs").write_text(str(process.pid))

        def ready() -> bool:
            assert process.poll() is None, (self.base / "dockerd.log").read_text(errors="replace")[-3000:]
            return answers(self.host)

        wait_until(ready, 60, "dockerd answers", every_s=0.2)
        self._answered = True

    def _program(self, name: str) -> list[str]:
        return self._house.command(name) if self.docker else [name]

    def _started(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with (self.base / "dockerd.log").open("ab") as log:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, **self.environment},
            )  # fmt: skip

    def _start_containerd(self, root: Path) -> str:
        """As docker-ce has it: beside Docker, and not by it; its address."""
        address, state = str(self.base / "containerd.sock"), str(self.base / "containerd")
        if self._containerd is None:
            config = self.base / "containerd.toml"
            config.write_text(f'version = 2\nroot = "{root}"\n')
            command = [*self._program("containerd"), "--config", str(config), "--address", address, "--state", state]
            self._containerd = self._started(command)
            wait_until(Path(address).exists, 30, "containerd listens")
        return address

    def _has_bridge(self) -> bool:
        """/sys may show another network namespace than the one that this is in."""
        return subprocess.run(["ip", "link", "show", self._bridge], capture_output=True, timeout=10).returncode == 0

    def stop(self) -> None:
        """SIGTERM, as a service unit does."""
        if self._process is None:
            return
        process, self._process = self._process, None
        _end(process)

    def kill9(self) -> None:
        """As the kernel does when memory is short. Its containers go on, with their shims."""
        assert self._process is not None
        process, self._process = self._process, None
        process.kill()
        process.wait(10)
        self._forget_containerd()

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """SIGSTOP, and SIGCONT at the end: it takes connections and answers none."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def revive(self) -> None:
        """Starts it again after somebody has killed it, as a service unit does."""
        assert self._process is not None
        self._process.wait(10)
        self._forget_containerd()
        self.start()

    def _forget_containerd(self) -> None:
        """It has died with dockerd. Where nobody reaps orphans, or another has its pid, it would be waited for."""
        (self.base / "run" / "containerd" / "containerd.pid").unlink(missing_ok=True)

    def destroy(self) -> None:
        """Removes containers, dockerd, mounts, files and what it has made on the machine's network.

        Each of these whatever became of those before it: also when it never answered.
        """
        with contextlib.ExitStack() as last:  # the last one first
            if self._group is not None:
                last.callback(lambda: wait_until(self._group_is_gone, 30, f"{self._group} is empty"))
            last.callback(shutil.rmtree, self.base, ignore_errors=True)
            last.callback(self._unmount, self.data)
            last.callback(self._unmount, self.base)
            last.callback(self._house.close)
            last.callback(self._leave_network)
            last.callback(self.kill_containers)
            if self._containerd is not None:
                last.callback(_end, self._containerd)
            last.callback(self.stop)
            last.callback(self._remove_containers)

    def _remove_containers(self) -> None:
        if self._process is None or not self._answered:
            return
        if self._process.poll() is not None:
            try:
                self.revive()
            except AssertionError:  # it does not start again, so nothing can be asked to go
                return
        containers = docker_cli.docker(self.host, "ps", "-aq", check=False).split()
        if containers:
            docker_cli.docker(self.host, "rm", "-f", *containers, check=False)

    def _leave_network(self) -> None:
        if self._bridge and self._has_bridge():
            subprocess.run(["ip", "link", "del", self._bridge], timeout=10, check=False)
        if self._before is not None and not self._before.has_docker:
            self._before.restore()

    def _group_is_gone(self) -> bool:
        assert self._group is not None
        try:
            self._group.rmdir()
            self._group.parent.rmdir()
        except OSError:
            return False
        return True

    def kill_containers(self) -> None:
        """Their processes, shims and networks, and what is left of containerd: as when the machine loses its power.

        Docker itself is down by then. A network namespace outlives its processes by its mount, which libnetwork clears
        away once a minute: in two of 25 "reboots" the old container's end of the bridge answered for the new one, with
        "connection refused", for just that minute. No power cut leaves one.
        """
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if "containerd" not in line or f"{self.base}/" not in line:
                    continue
                children = Path(f"/proc/{entry.name}/task/{entry.name}/children").read_text().split()
                for pid in [*children, entry.name]:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
        self._unmount(self.base / "run" / "netns")

    @staticmethod
    def _unmount(below: Path) -> None:
        """Everything there, the newest first: mounts may lie over each other."""
        for mount in reversed(Path("/proc/mounts").read_text().splitlines()):
            if mount.split()[1].startswith(f"{below}/"):
                subprocess.run(["umount", "-l", mount.split()[1]], timeout=30, check=False)


def _end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, and SIGKILL when that is not enough."""
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)


@contextlib.contextmanager
def own_engine(
    *,
    beside_another: bool = False,
    live_restore: bool = True,
    service: bool = False,
    options: Sequence[str] = (),
    data: Path | None = None,
    docker: str | None = None,
    images: Path | None = None,
    kind: type[OwnEngine] = OwnEngine,
) -> Iterator[OwnEngine]:
    """An engine for this test (session) alone, already started; ``data`` and ``images`` are directories that stay."""
    assert shutil.which("dockerd"), "no Docker engine to use, and dockerd is not installed (Debian: docker.io)"
    assert os.geteuid() == 0, "starting a Docker engine needs root"
    base = Path(tempfile.mkdtemp(prefix="gs-dockerd-"))
    own = kind(
        base,
        f"gsb{base.name[-8:]}" if beside_another else "",
        live_restore=live_restore,
        service=service,
        options=options,
        data=data,
        docker=docker,
        images=images,
    )
    try:
        own.start()
        yield own
    finally:
        own.destroy()


def serve(base: Path) -> None:
    """An engine in ``base`` until SIGTERM, for `install.sh --test`; nothing of it is left then."""

    def end(*_: object) -> None:
        raise SystemExit

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, end)
    own = OwnEngine(base)
    try:
        own.start()
        signal.pause()
    finally:
        own.destroy()


@contextlib.contextmanager
def engine() -> Iterator[str]:
    """The address of an engine that answers."""
    host = os.environ.get("DOCKER_HOST", DEFAULT_HOST)
    if not forky.asked() and _is_taken(host):
        wait_until(lambda: answers(host), 60, f"the engine at {host} answers")
        yield host
        return
    with own_engine() as own:
        yield own.host


def _is_taken(host: str) -> bool:
    """Somebody listens there, however busy: a second engine on the same network would take the first one's away."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(host.removeprefix("unix://")) == 0


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
