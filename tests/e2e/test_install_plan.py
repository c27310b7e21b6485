"""What install.sh would do on systems that are not at hand: a dry run with those systems' package tools made up.

It sees none of what is installed on this machine: where gitship would be, there is an empty place.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

SCRIPT = Path(__file__).parents[2] / "install.sh"
TOOLS = (
    "bash", "sh", "awk", "sed", "grep", "cut", "tr", "head", "find", "sort", "xargs", "sha256sum", "basename",
    "readlink", "dirname", "cat", "id", "getent", "mktemp", "rm", "timeout", "date", "stat",
)  # fmt: skip
RHEL = {
    "dnf": "#!/bin/sh\ncase $* in *python3.12*) exit 0;; esac\nexit 1\n",
    "rpm": '#!/bin/sh\n[ "$2" = git ]\n',
}
JAMMY = {
    "apt-get": "#!/bin/sh\n",
    "apt-cache": '#!/bin/sh\ncase $2 in python3) v=3.10.6-1~22.04;; docker-cli) v="(none)";; *) v=1;; esac\n'
    'printf "%s:\\n  Candidate: %s\\n" "$2" "$v"\n',
    "dpkg-query": "#!/bin/sh\nexit 1\n",
    "python3": "#!/bin/sh\nexit 1\n",  # 3.10
}
# All of install.sh's places that exist here are empty for what comes after it.
HIDE = """for place in /opt /etc/gitship /run/gitship /var/lib/gitship; do
  [ ! -d "$place" ] || mount -t tmpfs none "$place"
done
exec "$@"
"""
# Somebody has installed gitship and runs it, in an /etc, an /opt and a /run of theirs.
INSTALLED = """set -e
mount -t tmpfs none "$1"
for place in etc opt run; do
  mkdir "$1/$place" "$1/$place.work"
  mount -t overlay -o "lowerdir=/$place,upperdir=$1/$place,workdir=$1/$place.work" overlay "/$place"
done
mkdir -p /opt/gitship/releases/1/bin /etc/gitship /run/gitship
printf '#!/bin/sh\n' >/opt/gitship/releases/1/bin/gitship
chmod 755 /opt/gitship/releases/1/bin/gitship
ln -s releases/1 /opt/gitship/current
echo 'domain = "theirs.example.com"' >/etc/gitship/gitship.toml
shift
exec "$@"
"""
DOCKER = {"docker": "#!/bin/sh\n", "dockerd": "#!/bin/sh\n"}


@pytest.fixture(autouse=True, params=["a bare machine", "one where gitship is installed"])
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is on this machine must not count: each test says the same on both."""
    if request.param != "a bare machine":
        monkeypatch.setattr(sys.modules[__name__], "HOST", apart(INSTALLED, str(tmp_path / "theirs")))
        (tmp_path / "theirs").mkdir()


HOST: list[str] = []  # what comes before a command, so that it runs on the machine of the test


def apart(script: str, *words: str) -> list[str]:
    """With mounts of its own."""
    return [str(shutil.which("unshare")), "--mount", str(shutil.which("sh")), "-c", script, "sh", *words]


def dry_run(place: Path, programs: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    if os.geteuid() != 0:
        pytest.skip("install.sh wants root")
    place.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found, tool
        (place / tool).symlink_to(found)
    for name, text in programs.items():
        (place / name).unlink(missing_ok=True)  # or it would be written through the link
        (place / name).write_text(text)
        (place / name).chmod(0o755)
    path = os.environ["PATH"]  # for what makes the machine; install.sh has the made-up one
    script = ["env", "-i", f"PATH={place}", "HOME=/root", "LC_ALL=C", str(shutil.which("bash")), str(SCRIPT)]
    return subprocess.run(
        [*HOST, *apart(HIDE, *script), "--dry-run", *words], env={"PATH": path},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_rhel_family(tmp_path: Path) -> None:
    done = dry_run(tmp_path / "bin", RHEL | DOCKER)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Nothing is changed.")
    packages = next(line for line in done.stdout.splitlines() if line.startswith("  packages")).split()[1:]
    assert {"iptables-nft", "openssh-clients", "python3.12"} <= set(packages)
    assert not {"git", "docker.io", "tcc"} & set(packages)


def test_without_docker_the_rhel_family_is_told_where_it_comes_from(tmp_path: Path) -> None:
    done = dry_run(tmp_path / "bin", RHEL)
    assert done.returncode == 1
    assert "docker-ce" in done.stderr


def test_podman_under_dockers_name_is_no_docker(tmp_path: Path) -> None:
    podman = {"docker": "#!/bin/sh\n[ $1 = --version ] && echo 'podman version 4.9.4-rhel'\nexit 0\n"}
    done = dry_run(tmp_path / "bin", RHEL | podman)
    assert done.returncode == 1
    assert "Podman will not do" in done.stderr


def test_ubuntu_with_an_older_python_gets_a_newer_one_beside_it(tmp_path: Path) -> None:
    done = dry_run(tmp_path / "bin", JAMMY)
    packages = next(line for line in done.stdout.splitlines() if line.startswith("  packages")).split()[1:]
    assert {"docker.io", "python3.11", "python3.11-venv"} <= set(packages)
    assert "docker-cli" not in packages  # a part of docker.io there
    assert "domain apps.example.com, http port 8080" in dry_run(
        tmp_path / "again", JAMMY, "--domain", "apps.example.com", "--port", "8080"
    ).stdout  # fmt: skip


def test_another_system_is_told_which_ones_there_are(tmp_path: Path) -> None:
    done = dry_run(tmp_path / "bin", {})
    assert done.returncode == 1
    assert "Debian 12 and 13, Ubuntu" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--port", "99999"), "'99999' is not a port"),
        (("--domain", "a b"), "'a b' is not a domain"),
        (("--domain", "apps..example.com"), "'apps..example.com' is not a domain"),
        (("--domain", "203.0.113.5"), "'203.0.113.5' is not a domain"),
        (("--port", "2222"), "port 2222 cannot be that of the sites and of git push"),
        (("--upgrade", "--uninstall"), "--upgrade and --uninstall cannot go together"),
        (("--uninstall", "--upgrade"), "--uninstall and --upgrade cannot go together"),
        (("--key", "/"), "cannot read /"),
        (("--key", __file__), "there is no public key in"),
        (("--purge",), "--purge goes with --uninstall"),
        (("--rollback",), "--dry-run goes with"),
        (("--", "tests/unit"), "what comes after -- goes with --test"),
        (("--key", "/no/such.pub"), "cannot read /no/such.pub"),
        (("--nonsense",), "unknown option '--nonsense'"),
    ],
)
def test_wrong_words_are_told_before_anything_is_done(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    done = dry_run(tmp_path / "bin", DOCKER | JAMMY, *words)
    assert done.returncode == 1
    assert said in done.stderr


def test_an_upgrade_of_nothing_is_refused_as_without_dry_run(tmp_path: Path) -> None:
    done = dry_run(tmp_path / "bin", DOCKER | JAMMY, "--upgrade")
    assert (done.returncode, done.stdout) == (1, "") and "gitship is not installed" in done.stderr


def test_both_ports_that_are_taken_are_told(tmp_path: Path) -> None:
    taken = '#!/bin/sh\necho "LISTEN 0 5 0.0.0.0:${3#*:} 0.0.0.0:* users:((\\"caddy\\",pid=7,fd=3))"\n'
    done = dry_run(tmp_path / "bin", DOCKER | JAMMY | {"ss": taken})
    assert "port 80 is taken by caddy (pid 7): see --port\n" in done.stdout
    assert "port 2222 is taken by caddy (pid 7): see --ssh-port\n" in done.stdout


def test_of_the_keys_that_are_there_one_that_can_log_in_is_taken(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh/id_ed25519-cert.pub").write_text("ssh-ed25519-cert-v01@openssh.com AAAA me\n")
    (home / ".ssh/id_ed25519_sk.pub").write_text("sk-ssh-ed25519@openssh.com AAAA me\n")
    (home / ".ssh/other.pub").write_text("ssh-rsa AAAA me\n")
    passwd = {"getent": f"#!/bin/sh\necho root:x:0:0:root:{home}:/bin/sh\n"}
    done = dry_run(tmp_path / "bin", DOCKER | JAMMY | passwd)
    assert f"who has the key in {home}/.ssh/other.pub\n" in done.stdout
