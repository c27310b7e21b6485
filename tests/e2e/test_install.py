"""README's first line on a bare machine, and all that follows in its years: push, reboot, upgrade, way back, removal.

Minutes, not seconds: --long asks for it, or GITSHIP_TEST_INSTALL=bookworm (or trixie, or both with a comma). It needs
root, systemd-nspawn (Debian's systemd-container), debootstrap, and the package mirrors.
"""

from __future__ import annotations

import http.client
import os
import re
import shutil
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import gitship
from tests.e2e import apps
from tests.e2e.apps import clean_env
from tests.e2e.harness import make_key
from tests.e2e.machine import UNIFIED, USER, Machine, running
from tests.waiting import wait_until

WANTED = [name for name in os.environ.get("GITSHIP_TEST_INSTALL", "").split(",") if name]
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not WANTED, reason="takes minutes: --long or GITSHIP_TEST_INSTALL=bookworm asks for it"),
    pytest.mark.timeout(2400),
]

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHIPPED = ("gitship", "hooks", "varnish", "pyproject.toml", "README.md", "LICENSE", "install.sh", ".ci")
INSTALL = "sudo ./install.sh"
APP = "hello"


@dataclass(slots=True)
class Visitors:
    """One after the other on the page, all the time; what was not the page."""

    address: str
    asked: int = 0
    failed: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def come(self) -> None:
        while not self._stop.is_set():
            self.asked += 1
            try:
                status, _ = get(self.address)
                if status != 200:
                    self.failed.append(str(status))
            except OSError as error:
                self.failed.append(repr(error))
            time.sleep(0.01)

    @contextmanager
    def meanwhile(self) -> Iterator[Visitors]:
        thread = threading.Thread(target=self.come)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()


def get(address: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(address, 80, timeout=10)
    try:
        connection.request("GET", "/", headers={"Host": f"{APP}.localhost"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    finally:
        connection.close()


@dataclass(slots=True)
class Laptop:
    """Another account, elsewhere: git, ssh and a key of its own."""

    home: Path
    address: str
    key: Path

    def git_ssh(self) -> str:
        known = self.home / "known_hosts"
        return f"ssh -F none -i {self.key} -o IdentitiesOnly=yes -o BatchMode=yes" \
            f" -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile={known}"  # fmt: skip

    def ship(self, *command: str, stdin: str = "") -> str:
        done = subprocess.run(
            [*self.git_ssh().split(), "-p", "2222", f"deploy@{self.address}", *command], input=stdin,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def push(self, repository: Path, app: str = APP) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["git", "push", f"ssh://deploy@{self.address}:2222/{app}", "main"], cwd=repository,
            env=clean_env(GIT_SSH_COMMAND=self.git_ssh(), GIT_SSH_VARIANT="ssh"), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip


def checkout(place: Path) -> Path:
    for name in SHIPPED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, place / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            place.mkdir(exist_ok=True)
            shutil.copy(source, place / name)
    return place


def install(machine: Machine, words: str = "") -> str:
    done = machine.admin(f"cd gitship && {INSTALL} {words}")
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout


def pulled_image(machine: Machine) -> None:
    """An image as `git:from-image` leaves it: with gitship's name, and without its label."""
    with closing(sqlite3.connect(machine.root / "var/lib/gitship/gitship.db")) as database:
        [server] = database.execute("SELECT value FROM meta WHERE key = 'server_id'").fetchone()
    made = machine.enter("sh", "-c", f"tar c -T /dev/null | docker import - gitship/pulled:{server}-1-0123456789abcdef")
    assert made.returncode == 0, made.stdout


def files(machine: Machine) -> set[str]:
    places = "/etc /opt /root /home /run /srv /usr /var"
    return set(machine.enter("sh", "-c", f"find {places} -xdev 2>/dev/null", timeout_s=120).stdout.splitlines())


def upgrade_and_back(machine: Machine, source: Path) -> None:
    """An upgrade under load; a version that does not start; the way back. No request fails."""
    first = current(machine)
    said = source / "gitship/__init__.py"
    said.write_text(said.read_text().replace(f'"{gitship.__version__}"', '"98.7.6"'))
    machine.put(source, "gitship")
    visitors = Visitors(machine.address)
    with visitors.meanwhile():
        install(machine, "--upgrade")
    second = current(machine)
    assert second.startswith("98.7.6-")
    assert machine.enter("gitship", "version").stdout == "gitship 98.7.6\n"
    assert visitors.asked > 100
    assert visitors.failed == []
    machine.put(changed(source, "gitship/daemon.py", "\nraise SystemExit('broken')\n"), "gitship")
    visitors = Visitors(machine.address)
    with visitors.meanwhile():
        failed = machine.admin(f"cd gitship && {INSTALL} --upgrade")
    assert failed.returncode == 1
    assert f"the upgrade failed, {second} runs again" in failed.stdout
    assert visitors.failed == []
    assert current(machine) == second
    visitors = Visitors(machine.address)
    with visitors.meanwhile():
        install(machine, "--rollback")
    assert visitors.asked > 10
    assert visitors.failed == []
    assert current(machine) == first


def steps_of_builds_are_limited(machine: Machine, laptop: Laptop, directory: Path) -> None:
    """A step of a build is in the unit that has the limits, see ``engine.buildkeeper``."""
    shown = machine.enter("systemctl", "show", "gitship-builds", "-P", "TasksMax", "-P", "CPUWeight").stdout.split()
    assert sorted(shown) == ["25", "4096"]
    repository = apps.busybox(directory / "slow")
    text = (repository / "Dockerfile").read_text().replace("EXPOSE", 'RUN ["/bin/busybox", "sleep", "8"]\nEXPOSE', 1)
    apps.commit(repository, "Slow", {"Dockerfile": text})
    with ThreadPoolExecutor(1) as pool:
        pushed = pool.submit(laptop.push, repository, "slow")
        unit = "/sys/fs/cgroup/system.slice/gitship-builds.service/cgroup.procs"
        there = "for pid in $(cat %s); do tr '\\0' ' ' </proc/$pid/cmdline; echo; done" % unit  # noqa: UP031
        wait_until(lambda: "sleep 8" in machine.enter("sh", "-c", there).stdout, 60, "the step is in the unit")
    assert pushed.result().returncode == 0, pushed.result().stderr


def take_packages_away(machine: Machine, said: str) -> None:
    """By the very line that the uninstall ends with."""
    line = re.search(r"to remove them, too: (apt-get .*)", said)
    assert line, said
    done = machine.admin(f"sudo DEBIAN_FRONTEND=noninteractive {line[1].replace('apt-get', 'apt-get -y', 1)}")
    assert done.returncode == 0, done.stdout[-3000:]


def added(machine: Machine, before: set[str]) -> set[str]:
    """What is there now and was not before the installation, but for what packages have and leave."""
    owned = machine.enter("sh", "-c", "cat /var/lib/dpkg/info/*.list", timeout_s=60).stdout.splitlines()
    return {path for path in files(machine) - before - set(owned) if not PACKAGES_LEAVE.match(path)}


@pytest.mark.parametrize("release", WANTED)
def test_a_bare_machine_for_years(release: str, tmp_path: Path, tiny_binary: Path) -> None:
    assert f"\n{INSTALL} " in README
    admin_key, fresh_key = make_key(tmp_path / "admin"), make_key(tmp_path / "fresh")
    repository = apps.tiny(tmp_path / "app", tiny_binary, version="v1")
    source = checkout(tmp_path / "source")
    with running(release, admin_key.with_suffix(".pub")) as machine:
        machine.put(source, "gitship")
        before = files(machine)
        laptop = Laptop(tmp_path, machine.address, fresh_key)

        # A port that is taken is told, and nothing is changed.
        machine.enter("systemd-run", "--unit=taken", "systemd-socket-activate", "-l", "80", "cat")
        wait_until(lambda: ":80 " in machine.enter("ss", "-Hltn").stdout, 20, "port 80 is taken")
        refused = machine.admin(f"cd gitship && {INSTALL}")
        assert refused.returncode == 1
        assert re.search(r"port 80 is taken by systemd-socket\S* \(pid \d+\), which is left alone", refused.stdout)
        assert "--port 8080" in refused.stdout
        assert not (machine.root / "opt/gitship").exists()
        machine.enter("systemctl", "stop", "taken")

        # Two commands to the first page, pushed from another account with a fresh key.
        started = time.monotonic()
        said = install(machine)
        installed_s = time.monotonic() - started
        assert f"git remote add deploy ssh://deploy@{machine.address}:2222/{APP}" in said
        assert not re.search(doctor_finds(machine), said), said
        Laptop(tmp_path, machine.address, admin_key).ship(
            "keys:add", "fresh", stdin=fresh_key.with_suffix(".pub").read_text()
        )
        pushed = laptop.push(repository)
        assert pushed.returncode == 0, pushed.stderr
        assert get(machine.address) == (200, "v1\n")
        print(f"\n{release}: installed in {installed_s:.0f} s, first page after {time.monotonic() - started:.0f} s")
        for unit in ("gitship", "gitship-varnish", "gitship-websockets", "gitship-tls"):
            assert machine.enter("systemctl", "is-active", unit).stdout.strip() == "active", unit
            owner = machine.enter("systemctl", "show", "-P", "User", unit).stdout.strip()
            assert owner == "gitship"
        assert machine.enter("systemctl", "is-active", "varnish", "haproxy").stdout.split() == ["inactive"] * 2
        if release in UNIFIED:
            steps_of_builds_are_limited(machine, laptop, tmp_path)

        # Again: nothing to do.
        assert "runs already" in install(machine)

        # Varnish is killed while gitship is down: its unit brings it back.
        machine.enter("systemctl", "stop", "gitship")
        machine.enter("sh", "-c", "kill -9 $(cat /var/lib/gitship/varnish/varnishd.pid)")
        wait_until(lambda: serves(machine), 60, "the unit starts Varnish again")
        machine.enter("systemctl", "start", "gitship")

        # The machine starts anew.
        machine.power_off()
        machine.boot()
        wait_until(lambda: serves(machine), 90, "the page is back after a reboot")
        wait_until(lambda: machine.enter("gitship", "version").returncode == 0, 60, "gitship is back")

        upgrade_and_back(machine, source)
        assert APP in laptop.ship("apps")

        # Gone: what stays is what it says.
        said = install(machine, "--uninstall")
        assert "/var/lib/gitship" in said
        left = machine.enter("sh", "-c", "ps -e -o comm=; systemctl list-units 'gitship*' --no-legend; docker ps -aq")
        assert not re.search("gitship|varnishd|haproxy", left.stdout), left.stdout
        assert not (machine.root / "opt/gitship").exists()
        assert (machine.root / "var/lib/gitship/gitship.db").exists()

        # A new install goes on with what stayed, and a purge leaves nothing of gitship.
        machine.put(checkout(tmp_path / "whole"), "gitship")
        install(machine)
        wait_until(lambda: serves(machine), 60, "the apps are back")
        pulled_image(machine)
        install(machine, "--uninstall")
        said = install(machine, "--uninstall --purge")
        assert machine.enter("docker", "images", "-q").stdout == ""
        assert machine.enter("id", "gitship").returncode != 0
        take_packages_away(machine, said)
        assert added(machine, before) == set()


def test_without_systemd_the_script_starts_and_ends_everything(tmp_path: Path, tiny_binary: Path) -> None:
    key = make_key(tmp_path / "admin")
    repository = apps.tiny(tmp_path / "app", tiny_binary, version="v1")
    source = checkout(tmp_path / "source")
    with running(WANTED[0], key.with_suffix(".pub"), init=False) as machine:
        machine.put(source, "gitship")
        before, processes = files(machine), commands(machine)
        assert not re.search(doctor_finds(machine, "guard"), install(machine))
        pushed = Laptop(tmp_path, machine.address, key).push(repository)
        assert pushed.returncode == 0, pushed.stderr
        assert serves(machine)
        owners = machine.enter("ps", "-e", "-o", "user=,comm=").stdout.split("\n")
        assert any(line.split() == ["gitship", "varnishd"] for line in owners), owners
        assert "runs already" in install(machine)

        install(machine, "--stop")
        assert not serves(machine)
        assert not re.search("gitship|varnish|cache-main|haproxy", "\n".join(commands(machine)))
        install(machine)
        wait_until(lambda: serves(machine), 60, "the page is back")

        # The machine starts anew, with nobody who starts anything: the same line does.
        machine.power_off()
        machine.boot()
        assert not serves(machine)
        install(machine)
        wait_until(lambda: serves(machine), 60, "the page is back after a reboot")

        upgrade_and_back(machine, source)

        said = install(machine, "--uninstall --purge")
        assert commands(machine) == processes
        take_packages_away(machine, said)
        assert added(machine, before) == set()
        chains = machine.enter("iptables-save").stdout
        assert "GITSHIP" not in chains


def commands(machine: Machine) -> list[str]:
    """The processes of the machine, but for the one that lists them."""
    names = machine.enter("ps", "-e", "-o", "comm=").stdout.split("\n")
    return sorted(name.strip() for name in names if name.strip() not in ("", "ps"))


def doctor_finds(machine: Machine, *more: str) -> str:
    """What the doctor may not find, as a regular expression; ``more`` are findings that are right."""
    right = ["clock", "dns", *more]  # a test machine has no time server, and no name
    if machine.release in UNIFIED and "memory" not in machine.enter("cat", "/sys/fs/cgroup/cgroup.controllers").stdout:
        right.append("builds")  # a kernel whose control groups of version 2 limit nothing
    return rf"(?m)^fail |^warn  (?!{'|'.join(right)})"


PACKAGES_LEAVE = re.compile(  # apt, Docker, containerd, and systemd, which runs on; and the copy of the repository
    rf"/home/{USER}/gitship|/run/(?!.*gitship)|/var/(cache|tmp|log|lib/(apt|containerd|docker|dpkg|systemd))(?!.*gitship)"
    r"|/run/systemd/propagate/gitship(-\w+)?\.service"  # of the systemd of Ubuntu 22.04, until the next boot
    "|/opt/containerd|/etc/(cni|docker|docker/key.json|cni/net.d|networks|subgid-|subuid-|.*-)$"
)


def serves(machine: Machine) -> bool:
    try:
        return get(machine.address) == (200, "v1\n")
    except OSError:
        return False


def current(machine: Machine) -> str:
    return os.readlink(machine.root / "opt/gitship/current").removeprefix("releases/")


def changed(source: Path, file: str, more: str) -> Path:
    """Another version of the source: what was changed before stays."""
    with (source / file).open("a") as opened:
        opened.write(more)
    return source
