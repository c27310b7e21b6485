"""A bare machine: a Debian made with debootstrap that runs systemd as its init, in systemd-nspawn.

It has a network of its own, so that its Docker's rules are not this machine's, and shares the kernel. What a real
machine has and the container lacks is put in: control groups and network settings that Docker may write, and this
machine's way to the package mirrors (resolv.conf, pip.conf, certificates).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.python_image import cache_dir
from tests.places import place
from tests.waiting import wait_until

PACKAGES = "systemd,systemd-sysv,dbus,sudo,ca-certificates,iproute2,procps"
USER = "ada"  # may use sudo, and has a key
BOOT_S = 120.0
COMMAND_S = 900.0
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
UBUNTU = ("jammy", "noble")
UNIFIED = ("trixie",)  # its systemd wants version 2 of the control groups
REMOUNT = (
    "mount --bind /proc/sys/net /proc/sys/net; mount -o remount,bind,rw /proc/sys/net;"
    " mount -o remount,bind,rw /sys/fs/cgroup;"
    " for c in /sys/fs/cgroup/*; do mountpoint -q $c && mount -o remount,bind,rw $c; done; true"
)
CGROUPS = f"""[Unit]
DefaultDependencies=no
Before=sysinit.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c '{REMOUNT}'
[Install]
WantedBy=sysinit.target
"""


def run(*command: str | Path, timeout_s: float = COMMAND_S, **more: str) -> str:
    """What it printed; AssertionError with that when it failed."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=timeout_s, check=False, env={**os.environ, **more},
    )  # fmt: skip
    assert done.returncode == 0, f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout[-6000:]}"
    return done.stdout


def tree(release: str) -> Path:
    """A bare root file system of that release, made once (a minute)."""
    place = cache_dir() / f"bare-{release}"
    if not place.exists():
        work = Path(tempfile.mkdtemp(prefix=f"bare-{release}-", dir=cache_dir()))
        work.chmod(0o755)
        run(*bootstrap(release), work, *scripts(release))
        shutil.rmtree(work / "var/cache/apt/archives", ignore_errors=True)
        work.rename(place)
    return place


def bootstrap(release: str) -> list[str]:
    command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}"]
    if release in UBUNTU:  # whose key Debian does not have; what is installed in the machine itself is checked
        command += ["--no-check-gpg", "--components=main,universe"]
    return [*command, release]


def scripts(release: str) -> list[str]:
    """What comes after the directory: Debian's debootstrap may not know an Ubuntu's name, but how they are made."""
    there = Path("/usr/share/debootstrap/scripts")
    return ["", str(there / "gutsy")] if release in UBUNTU and not (there / release).exists() else []


@dataclass(slots=True)
class Machine:
    """Runs as long as ``nspawn`` does; everything of it is in ``base``."""

    base: Path
    release: str
    number: int  # of its network
    init: bool = True  # systemd is its init; else it has none
    nspawn: subprocess.Popen[bytes] | None = None
    leader: int = 0

    @property
    def root(self) -> Path:
        return self.base / "root"

    @property
    def name(self) -> str:
        return f"gsbare{self.number}"

    @property
    def address(self) -> str:
        return f"10.199.{self.number}.2"

    # -- life

    def make(self, public_key: Path) -> None:
        run("cp", "-a", tree(self.release), self.root)
        etc = self.root / "etc"
        (etc / "hosts").write_text(f"127.0.0.1 localhost {self.name} {os.uname().nodename}\n")
        (etc / "hostname").write_text(f"{self.name}\n")
        (etc / "systemd/system/cgroups.service").write_text(CGROUPS)
        for file in ("/etc/pip.conf", "/etc/ssl/certs/ca-certificates.crt"):
            if Path(file).exists():
                shutil.copy(file, self.root / file.lstrip("/"))
        if self.release in UBUNTU:  # as its own installer writes it
            sources = etc / "apt/sources.list"
            text = sources.read_text()
            sources.write_text(text + text.replace(f" {self.release} ", f" {self.release}-updates "))
        run("chroot", self.root, "systemctl", "enable", "-q", "cgroups.service")
        run("chroot", self.root, "useradd", "-m", "-s", "/bin/bash", USER)
        (etc / "sudoers.d" / USER).write_text(f"{USER} ALL=(ALL) NOPASSWD: ALL\n")
        home = self.root / "home" / USER
        (home / ".ssh").mkdir()
        shutil.copy(public_key, home / ".ssh/authorized_keys")
        run("chroot", self.root, "chown", "-R", f"{USER}:", f"/home/{USER}")
        self._network("add")

    def boot(self) -> None:
        more = {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"} if self.release in UNIFIED else {}
        command = [
            "systemd-nspawn", "-D", str(self.root), "--register=no", "--keep-unit", f"--machine={self.name}",
            f"--network-namespace-path=/run/netns/{self.name}", "--capability=all", "--console=pipe",
            "--system-call-filter=@keyring bpf", "--resolv-conf=replace-host",
            *(["--boot"] if self.init else ["--as-pid2", "sleep", "infinity"]),
        ]  # fmt: skip
        with (self.base / "boot.log").open("ab") as log:
            self.nspawn = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **more},
                start_new_session=True,
            )  # fmt: skip
        self.leader = wait_until(self._find_leader, BOOT_S, "systemd-nspawn starts its init")
        if self.init:
            wait_until(self._is_up, BOOT_S, "the machine has booted", every_s=0.3)
        else:
            self.enter("sh", "-c", REMOUNT)

    def _find_leader(self) -> int:
        assert self.nspawn is not None
        assert self.nspawn.poll() is None, (self.base / "boot.log").read_text(errors="replace")
        children = Path(f"/proc/{self.nspawn.pid}/task/{self.nspawn.pid}/children").read_text().split()
        started = ("systemd", "(sd-stubinit)", "sleep")  # before that it is nspawn's own
        return next((int(pid) for pid in children if Path(f"/proc/{pid}/comm").read_text().strip() in started), 0)

    def _is_up(self) -> bool:
        with suppress(subprocess.TimeoutExpired):
            return self.enter("systemctl", "is-system-running").stdout.strip() in ("running", "degraded")
        return False

    def power_off(self) -> None:
        """As an admin does; killed when it takes longer than two minutes."""
        if self.nspawn is None:
            return
        with suppress(subprocess.TimeoutExpired):
            if self.init:
                self.enter("systemctl", "poweroff")
            else:
                self.nspawn.terminate()
        try:
            self.nspawn.wait(120)
        except subprocess.TimeoutExpired:
            self.nspawn.kill()
            self.nspawn.wait(10)
        self.nspawn = None

    def destroy(self) -> None:
        self.power_off()
        with suppress(AssertionError):
            self._network("del")
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        assert not [m for m in mounts if m.startswith(f"{self.root}/")], "a mount is left"
        shutil.rmtree(self.base, ignore_errors=True)

    # -- use

    def enter(self, *command: str, timeout_s: float = 30.0) -> subprocess.CompletedProcess[str]:
        """As root."""
        inside = ["nsenter", "-t", str(self.leader), "-m", "-u", "-i", "-n", "-p", "-C", "--", *command]
        return subprocess.run(
            inside, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=timeout_s, check=False, env=ENVIRONMENT,
        )  # fmt: skip

    def admin(self, script: str, timeout_s: float = COMMAND_S) -> subprocess.CompletedProcess[str]:
        """What the user who may use sudo types."""
        return self.enter("su", "-", USER, "-c", script, timeout_s=timeout_s)

    def put(self, files: Path, name: str) -> None:
        """A copy of a directory in the user's home."""
        target = self.root / "home" / USER / name
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(files, target, symlinks=True)
        run("chroot", self.root, "chown", "-R", f"{USER}:", f"/home/{USER}/{name}")

    # -- the network

    def _network(self, verb: str) -> None:
        name, here = self.name, f"10.199.{self.number}.1/30"
        net = f"10.199.{self.number}.0/30"
        rules = [
            ["-t", "nat", "{}", "POSTROUTING", "-s", net, "-j", "MASQUERADE"],
            ["{}", "FORWARD", "-s", net, "-j", "ACCEPT"],
            ["{}", "FORWARD", "-d", net, "-j", "ACCEPT"],
        ]
        if verb == "del":
            for rule in rules:
                with suppress(AssertionError):
                    run("iptables", *[w.format("-D") for w in rule])
            run("ip", "netns", "del", name)
            return
        run("ip", "netns", "add", name)
        run("ip", "link", "add", f"{name}h", "type", "veth", "peer", "name", "host0", "netns", name)
        run("ip", "addr", "add", here, "dev", f"{name}h")
        run("ip", "link", "set", f"{name}h", "up")
        run("ip", "-n", name, "addr", "add", f"{self.address}/30", "dev", "host0")
        run("ip", "-n", name, "link", "set", "host0", "up")
        run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "-n", name, "route", "add", "default", "via", here.removesuffix("/30"))
        for rule in rules:
            run("iptables", *[w.format("-I") for w in rule])


def free_number() -> int:
    """Of a network that no route of this machine uses."""
    routes = run("ip", "-4", "route")
    own = range(10 + 7 * place(), 17 + 7 * place())
    return next(n for n in own if f"10.199.{n}." not in routes)


@contextmanager
def running(release: str, public_key: Path, *, init: bool = True) -> Iterator[Machine]:
    base = Path(tempfile.mkdtemp(prefix="gs-bare-"))
    base.chmod(0o755)
    machine = Machine(base, release, free_number(), init)
    try:
        machine.make(public_key)
        machine.boot()
        yield machine
    finally:
        machine.destroy()
