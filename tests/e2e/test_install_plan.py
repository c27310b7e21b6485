"""What install.sh would do on systems that are not at hand: a dry run with those systems' package tools made up."""

from __future__ import annotations

import os
import shutil
import subprocess
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
DOCKER = {"docker": "#!/bin/sh\n", "dockerd": "#!/bin/sh\n"}


def dry_run(place: Path, programs: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    if os.geteuid() != 0:
        pytest.skip("install.sh wants root")
    place.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found, tool
        (place / tool).symlink_to(found)
    for name, text in programs.items():
        (place / name).write_text(text)
        (place / name).chmod(0o755)
    return subprocess.run(
        ["bash", str(SCRIPT), "--dry-run", *words], env={"PATH": str(place), "HOME": "/root", "LC_ALL": "C"},
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
        (("--purge",), "--purge goes with --uninstall"),
        (("--rollback",), "--dry-run goes with"),
        (("--key", "/no/such.pub"), "cannot read /no/such.pub"),
        (("--nonsense",), "unknown option '--nonsense'"),
    ],
)
def test_wrong_words_are_told_before_anything_is_done(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    done = dry_run(tmp_path / "bin", DOCKER | JAMMY, *words)
    assert done.returncode == 1
    assert said in done.stderr
