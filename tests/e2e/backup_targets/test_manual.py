"""The manual's way to restore without gitship, as it stands there. The database's own program gets what it would."""

from __future__ import annotations

import gzip
import os
import subprocess
import threading
from pathlib import Path

import pytest

from gitship.backup.encryption import encrypted
from gitship.backup.targets import BackupTarget, TargetDefinition, target_of
from gitship.services import wal_names
from tests.e2e.backup_targets import s3
from tests.e2e.backup_targets.pushed import data
from tests.manual import blocks

pytestmark = pytest.mark.clients
KEY = "db/one.age"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """With an SSH key, and a `pg_restore` that keeps what it is given: what is shown is the way to it."""
    (tmp_path / ".ssh").mkdir()
    key = tmp_path / ".ssh" / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True, timeout=60)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "pg_restore").write_text('#!/bin/sh\nexec cat > "$HOME/restored"\n')
    (tmp_path / "bin" / "pg_restore").chmod(0o755)
    return tmp_path


def shown(with_words: str) -> str:
    (found,) = [block for block in blocks("bash") if with_words in block]
    return found


def run(home: Path, script: str, **more: str) -> None:
    path = f"{home / 'bin'}:{os.environ['PATH']}"
    environment = os.environ | {"HOME": str(home), "PATH": path, "RCLONE_CONFIG": "/dev/null"} | more
    subprocess.run(["bash", "-ec", script], env=environment, cwd=home, timeout=120, check=True)
    assert (home / "restored").read_bytes() == b"".join(data(3))


def store(home: Path, target: BackupTarget) -> None:
    public = (home / ".ssh" / "id_ed25519.pub").read_text()
    target.put(KEY, encrypted(data(3), [public]), threading.Event())


def test_from_a_bucket(home: Path) -> None:
    with s3.serving(home / "s3") as server:
        store(home, s3.target(server.endpoint))
        script = shown("rclone cat")
        for word, meant in (
            ("https://HOST", server.endpoint), ("BUCKET/PATH", f"{s3.BUCKET}/{s3.PREFIX}"), ("KEY.age", KEY),
            ("KEY_ID=ID", f"KEY_ID={s3.KEY_ID}"), ("=SECRET", f"={s3.SECRET}"),
        ):  # fmt: skip
            script = script.replace(word, meant)
        run(home, script)


def test_from_a_directory(home: Path) -> None:
    target = target_of(TargetDefinition.parse("disk", [str(home / "backups")], ""))
    target.check()
    store(home, target)
    run(home, shown("sha256sum").replace("DIRECTORY", str(home / "backups/db")).replace("KEY.age", "one.age"))


def test_a_base_and_its_wal(home: Path) -> None:
    """The server's part is this script's: it has a segment fetched as it is told to."""
    public, segment = (home / ".ssh" / "id_ed25519.pub").read_text(), "0000000100000000000000FE"
    (home / "PG_VERSION").write_text("17\n")
    packed = subprocess.run(["tar", "-c", "PG_VERSION"], cwd=home, capture_output=True, timeout=60, check=True).stdout
    (home / "one.base.age").write_bytes(b"".join(encrypted([packed], [public])))
    place = home / wal_names.key("wal", segment)
    place.parent.mkdir(parents=True)
    place.write_bytes(b"".join(encrypted([gzip.compress(b"".join(data(3)))], [public])))
    (home / "bin" / "postgres").write_text(
        "#!/bin/sh\nset -e\ntest -e data/PG_VERSION -a -e data/recovery.signal\n"
        "fetch=$(sed -n \"s/^restore_command = '\\(.*\\)'$/\\1/p\" data/postgresql.auto.conf)\n"
        f'sh -c "$(echo "$fetch" | sed "s|%f|{segment}|; s|%p|restored|")"\n'
    )
    (home / "bin" / "postgres").chmod(0o755)
    script = shown("recovery.signal").replace("KEY.base.age", "one.base.age").replace("/srv/wal", str(home / "wal"))
    run(home, script.replace("/srv/key", "~/.ssh/id_ed25519"))


def test_from_restic(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    target = target_of(TargetDefinition.parse("vault", [f"restic:{home / 'repository'}"], "password"))
    target.check()
    target.put("db/one.dump", data(3), threading.Event())
    target.put("db/two.dump", [b"x"], threading.Event())
    script = shown("restic dump").replace("KEY", "db/one.dump")
    run(home, script, RESTIC_REPOSITORY=str(home / "repository"), RESTIC_PASSWORD="password")
