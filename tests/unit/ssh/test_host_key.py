"""The host key: made once, readable by nobody else, and by OpenSSH."""

from __future__ import annotations

import stat
import subprocess
import threading
from pathlib import Path

import pytest

from gitship.errors import ConfigError
from gitship.ssh import host_key
from tests.unit.ssh.conftest import TIMEOUT_S, make_key

pytestmark = pytest.mark.clients


def test_a_new_key_is_private_and_openssh_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "data" / "key"
    key = host_key.ensure(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    shown = subprocess.run(["ssh-keygen", "-y", "-f", str(path)], capture_output=True, text=True, timeout=TIMEOUT_S)
    assert shown.stdout.split()[:2] == host_key.public_line(key).split()
    assert [p.name for p in path.parent.iterdir()] == ["key"]


def test_an_existing_key_stays(tmp_path: Path) -> None:
    path = tmp_path / "key"
    first = host_key.public_line(host_key.ensure(path))
    path.chmod(0o644)
    assert host_key.public_line(host_key.ensure(path)) == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_key_made_by_openssh_is_taken(tmp_path: Path) -> None:
    made = make_key(tmp_path, "key", "-t", "ed25519")
    assert host_key.public_line(host_key.ensure(made.path)) == made.line


def test_starters_at_the_same_time_agree_on_one_key(tmp_path: Path) -> None:
    lines: list[str] = []
    together = threading.Barrier(8)

    def start() -> None:
        together.wait(TIMEOUT_S)
        lines.append(host_key.public_line(host_key.ensure(tmp_path / "key")))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lines) == 8
    assert len(set(lines)) == 1


@pytest.mark.parametrize("content", ["", "garbage\n", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END"])
def test_a_damaged_key_is_named_and_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "key"
    path.write_text(content)
    with pytest.raises(ConfigError, match="is not an ed25519 key without passphrase"):
        host_key.ensure(path)
    assert path.read_text() == content


def test_another_kind_of_key_or_one_with_a_passphrase_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        host_key.ensure(make_key(tmp_path, "ecdsa", "-t", "ecdsa").path)
    path = tmp_path / "locked"
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", str(path)]
    subprocess.run(command, check=True, timeout=TIMEOUT_S)
    with pytest.raises(ConfigError):
        host_key.ensure(path)
