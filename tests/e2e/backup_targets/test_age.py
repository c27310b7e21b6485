"""What gitship encrypts is decrypted by the `age` program with an SSH key, and the other way round."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitship.backup.encryption import decrypted, encrypted, server_key, usable
from gitship.backup.targets import TargetDefinition, target_of
from tests.e2e.backup_targets.pushed import data

pytestmark = pytest.mark.clients
MEGABYTES = 20


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Private keys by type, as `ssh-keygen` makes them; `age` beside them is the server's."""
    place = tmp_path_factory.mktemp("keys")
    for kind in ("ed25519", "rsa", "ecdsa"):
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", place / kind], check=True, timeout=60)
    server_key(place / "age")
    return {name: place / name for name in ("ed25519", "rsa", "ecdsa", "age")}


def public(path: Path) -> str:
    return Path(f"{path}.pub").read_text()


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "age"])
def test_age_decrypts_what_is_stored(tmp_path: Path, keys: dict[str, Path], kind: str) -> None:
    target = target_of(TargetDefinition.parse("disk", [str(tmp_path)], ""))
    target.check()
    recipients, unusable = usable([public(keys["ed25519"]), public(keys["rsa"]), public(keys["ecdsa"])])
    assert len(unusable) == 1
    recipients.append(server_key(keys["age"])[0])
    target.put("db.age", encrypted(data(MEGABYTES), recipients), threading.Event())
    done = subprocess.run(
        ["age", "-d", "-i", keys[kind], tmp_path / "db.age"], capture_output=True, timeout=60, check=True
    )
    assert done.stdout == b"".join(data(MEGABYTES))
    subprocess.run(["sha256sum", "--quiet", "--check", "db.age.sha256"], cwd=tmp_path, timeout=60, check=True)


def test_what_age_encrypts_is_decrypted(keys: dict[str, Path]) -> None:
    content = b"".join(data(3))
    done = subprocess.run(
        ["age", "-R", f"{keys['ed25519']}.pub"], input=content, capture_output=True, timeout=60, check=True
    )
    assert b"".join(decrypted(cut(done.stdout), keys["ed25519"].read_text())) == content


def cut(content: bytes) -> Iterator[bytes]:
    for at in range(0, len(content), 100_000):
        yield content[at : at + 100_000]
