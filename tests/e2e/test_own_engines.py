"""Engines of the tests' own: whatever the machine's Docker is set to, and nothing of them stays.

In a network and with an /etc of its own, so that this machine's Docker and its settings are out of it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.apps import clean_env
from tests.e2e.dockerd import OwnEngine, own_engine
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("dockerd"), reason="needs root and dockerd"),
]

# The second word of each is a place on a disk in memory: what is changed in /etc is seen by nobody else.
APART = """set -e
ip link set lo up
mount -t tmpfs none "$1"
mkdir "$1/upper" "$1/work"
mount -t overlay -o "lowerdir=/etc,upperdir=$1/upper,workdir=$1/work" overlay /etc
mkdir -p /etc/docker
echo "$2" >/etc/docker/daemon.json
shift 2
exec "$@"
"""
SHOW = """
from tests.e2e import dockerd, docker_cli, machinenet
before = machinenet.MachineNet.now()
for beside in (True, False):
    with dockerd.own_engine(beside_another=beside) as own:
        print(docker_cli.docker(own.host, "info", "--format", "{{.LiveRestoreEnabled}} {{.Labels}}"))
        during = machinenet.MachineNet.now()
    after = machinenet.MachineNet.now()
    print(during != before, sorted(after.links ^ before.links), after.tables == before.tables)
"""


def apart(place: Path, settings: str, *command: str) -> list[str]:
    place.mkdir()
    return ["unshare", "--net", "--mount", "sh", "-c", APART, "sh", str(place), settings, *command]


def test_the_machines_own_settings_do_not_count(base: Path) -> None:
    """Each of these would keep it from starting: said twice, or no such option."""
    settings = '{"live-restore": true, "bridge": "docker0", "labels": ["of-the-machine"], "no-such-option": 1}'
    done = subprocess.run(
        apart(base / "etc", settings, sys.executable, "-c", SHOW), cwd=ROOT, env=clean_env(PYTHONPATH=str(ROOT)),
        capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines() == ["true []", "True [] True"] * 2


def test_one_that_does_not_start_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[OwnEngine] = []
    real = OwnEngine.start

    def start(own: OwnEngine) -> None:
        made.append(own)
        real(own)

    monkeypatch.setattr(OwnEngine, "start", start)
    with (
        pytest.raises(AssertionError, match="no-such-option"),
        own_engine(beside_another=True, options=("--no-such-option",)),
    ):
        raise RuntimeError("it started")
    assert len(made) == 1, "it was started again, to be ended"
    assert not Path("/sys/class/net", made[0]._bridge).exists()
    assert not made[0].base.exists()


def test_one_that_died_leaves_nothing() -> None:
    with own_engine(beside_another=True) as own:
        bridge, base = own._bridge, own.base
        os.kill(own.pid, signal.SIGKILL)
    assert not Path("/sys/class/net", bridge).exists() and not base.exists()


@pytest.mark.parametrize("when", ["it answers", "it starts"])
def test_the_one_of_install_sh_ends_with_all_that_it_made(base: Path, when: str) -> None:
    place = base / "engine"
    place.mkdir()
    script = f'{sys.executable} -m tests.e2e.dockerd "$1" & pid=$!\n' \
        'if [ "$2" = "it answers" ]; then until docker -H "unix://$1/docker.sock" version; do sleep 0.2; done\n' \
        'else until [ -e "$1/dockerd.log" ]; do sleep 0.05; done; fi >/dev/null 2>&1\n' \
        'kill $pid; wait $pid; ip -br link; iptables -S; ls "$1" 2>&1\n'  # fmt: skip
    done = subprocess.run(
        apart(base / "etc", "{}", "sh", "-c", script, "sh", str(place), when), cwd=ROOT,
        env=clean_env(PYTHONPATH=str(ROOT)), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    said = done.stdout.splitlines()
    assert not [line for line in said if line.startswith(("docker0", "-N"))], done.stdout
    assert not place.exists(), done.stdout + done.stderr
    wait_until(lambda: str(place) not in Path("/proc/mounts").read_text(), 5, "no mount of it is left")
