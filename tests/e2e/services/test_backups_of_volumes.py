"""Backups of a volume and of the whole server at a real S3 server; then all is lost, and comes back from the bucket."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import apps, docker_cli
from tests.e2e.apps import clean_env
from tests.e2e.backup_targets import s3
from tests.e2e.commands import ok, refused, shown
from tests.e2e.harness import Server
from tests.e2e.services.engines import engines
from tests.e2e.test_backup import lose_everything
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e

BUSYBOX = "/bin/busybox"
FILL = (
    "cd /data; busybox mkdir -p a/b; busybox head -c 3000000 /dev/urandom > a/b/big; echo hidden > .first; "
    "busybox ln a/b/big a/second; busybox ln -s ../../etc/nowhere a/link; busybox touch empty; busybox mkfifo pipe; "
    "busybox chmod 4750 empty; busybox chown -R 1000:33 a"
)
LISTED = (
    "cd /data; busybox find . -exec busybox ls -lnd {} + | busybox sort -k9; "
    "busybox find . -type f -exec busybox sha256sum {} + | busybox sort"
)
WRITING = "while :; do busybox date >> /data/growing; done"


@dataclass
class Bucket:
    """``kill_at_read`` ends gitship when the first byte of a backup is read back."""

    store: s3.S3Server
    server: Server
    kill_at_read: bool = False
    killed: threading.Event = field(default_factory=threading.Event)

    def answer(self, method: str, path: str) -> s3.Answer | None:
        if self.kill_at_read and method == "GET" and path.partition("?")[0].endswith(".tar.age"):
            self.kill_at_read = False
            self.server.kill9()
            self.killed.set()
        return None

    def file(self, key: str) -> Path:
        return self.store.data / s3.BUCKET / s3.PREFIX / key


@pytest.fixture
def bucket(own_server: Server, base: Path) -> Iterator[Bucket]:
    with s3.serving(base / "s3") as serving:
        made = Bucket(serving, own_server)
        with s3.refusing(serving, made.answer) as endpoint:
            place = (f"s3://{s3.BUCKET}/{s3.PREFIX}", "--endpoint", endpoint, "--key-id", s3.KEY_ID)
            ok(own_server, "backups:target:add", "offsite", *place, stdin=s3.SECRET)
            yield made


def sh(server: Server, script: str) -> str:
    return ok(server, "run", "shop", BUSYBOX, "sh", "-c", f"'{script}'")


def volumes(server: Server) -> list[str]:
    return docker_cli.names(server.docker_host, "volume", f"gitship.server={server.server_id()}", "gitship.app-id")


def newest(server: Server, name: str) -> dict[str, Any]:
    return dict(shown(server, "backups:list", name)[0])


def test_a_volume_and_the_server_come_back_from_the_bucket(own_server: Server, bucket: Bucket, base: Path) -> None:
    server = own_server
    server.push_ok(apps.busybox(base / "shop"), "shop")
    ok(server, "storage:mount", "shop", "data:/data")
    sh(server, FILL)

    writer = ok(server, "run", "shop", "--detach", BUSYBOX, "sh", "-c", f"'{WRITING}'").split()[-1]
    said = ok(server, "backups:run", "shop/data")  # while it is written to
    assert " files with " in said and "backup 1 of shop/data is verified" in said
    assert newest(server, "shop/data")["state"] == "verified"
    ok(server, "run:stop", "shop", writer)
    sh(server, "busybox rm /data/growing")
    before = sh(server, LISTED)

    ok(server, "backups:run", "shop/data", "--no-verify")
    bucket.kill_at_read = True
    cut = server.ssh("backups:verify", "shop/data", "2")
    assert bucket.killed.wait(20) and cut.returncode != 0, cut.stderr
    server.start()
    wait_until(lambda: len(volumes(server)) == 1, 60, "the volume of the proof is gone")
    assert newest(server, "shop/data")["state"] == "listed"
    ok(server, "backups:verify", "shop/data", "2")

    sh(server, "busybox rm -r /data/a")
    said = ok(server, "backups:restore", "shop/data", "--as", "data2")
    for line in said.partition("to use it:\n")[2].splitlines():
        ok(server, *line.split())
    assert sh(server, LISTED) == before
    assert "mounted in shop" in refused(server, "storage:destroy", "shop", "data2", "--force")

    with engines(server, "valkey:8.1"):
        ok(server, "services:create", "cache", "valkey:8.1", "--memory", "64m")
        ok(server, "services:connect", "cache", "--", "set", "word", "kept")
        ok(server, "backups:schedule", "server", "@daily", "--keep", "2")
        with closing(sqlite3.connect(server.data_dir / "gitship.db", timeout=10)) as db:
            db.execute("UPDATE backup_schedules SET seen_at = seen_at - 2 * 86400")
            db.commit()
        wait_until(lambda: shown(server, "backups:list", "server")[:1], 60, "the schedule has begun")
        wait_until(lambda: newest(server, "server")["state"] in ("verified", "failed"), 90, "it has come to its end")
        found = newest(server, "server")
        assert (found["state"], found["by"]) == ("verified", "schedule"), found
        assert "server: verified backup at offsite" in server.gitship("doctor").stdout

        lose_everything(server)
        restore = [sys.executable, "-m", "gitship.cli", "restore", "-", "--config", str(server.config)]
        decrypt = ["age", "-d", "-i", str(server.key), str(bucket.file(found["key"]))]
        with subprocess.Popen(decrypt, stdout=subprocess.PIPE) as age:
            done = subprocess.run(
                restore, stdin=age.stdout, env=clean_env(), capture_output=True, text=True, check=False
            )
        assert (age.returncode, done.returncode) == (0, 0), done.stderr
        server.start()
        wait_until(lambda: server.get("shop").status == 200, 90, "shop answers again")
        wait_until(lambda: not any((server.data_dir / "service-dumps").iterdir()), 90, "its service is back")
        assert sh(server, LISTED) == before
        assert "kept" in ok(server, "services:connect", "cache", "--", "get", "word")
        [row] = shown(server, "backups:schedules")
        assert (row["name"], row["overdue"]) == ("server", False)
        ok(server, "services:destroy", "cache", "--force")
