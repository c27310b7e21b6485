"""Backups of a real PostgreSQL at a real S3 server: proved, restored, and each thing that goes wrong once."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import docker_cli
from tests.e2e.backup_targets import s3
from tests.e2e.commands import ok, refused, shown
from tests.e2e.harness import Server
from tests.e2e.services.engines import engines, sql

pytestmark = pytest.mark.e2e
ROWS = 20_000


@dataclass
class Shop:
    """A server with a filled database `db`, and a bucket that is its target `offsite`."""

    server: Server
    bucket: s3.S3Server

    def backups(self, service: str = "db") -> list[dict[str, Any]]:
        return list(shown(self.server, "backups:list", service))

    def objects(self) -> list[str]:
        """What lies in the bucket."""
        place = self.bucket.data / s3.BUCKET
        return sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())

    def leftovers(self) -> list[str]:
        """Containers and volumes of services beside those that their records name."""
        host, own = self.server.docker_host, f"gitship.server={self.server.server_id()}"
        records = self.server.database("SELECT container, volume FROM services")
        ids = {container for container, _ in records}
        known = {docker_cli.docker(host, "inspect", "-f", "{{.Name}}", i).strip().strip("/") for i in ids if i}
        found = set(docker_cli.names(host, "container", own, "gitship.service-id")) - known
        volumes = set(docker_cli.names(host, "volume", own, "gitship.service-id")) - {v for _, v in records}
        return sorted(found | volumes)


@pytest.fixture(scope="module")
def shop(server: Server, module_base: Path) -> Iterator[Shop]:
    with engines(server, "postgres:15"), s3.serving(module_base / "s3") as bucket:
        ok(
            server, "backups:target:add", "offsite", f"s3://{s3.BUCKET}/{s3.PREFIX}", "--endpoint", bucket.endpoint,
            "--key-id", s3.KEY_ID, stdin=s3.SECRET,
        )  # fmt: skip
        ok(server, "services:create", "db", "postgres:15", "--memory", "128m")
        sql(server, "db", f"CREATE TABLE orders AS SELECT n, md5(n::text) FROM generate_series(1, {ROWS}) n")
        sql(server, "db", "CREATE TABLE gone_soon AS SELECT 'kept' AS word")
        yield Shop(server, bucket)


def test_a_backup_is_verified_and_a_dropped_table_comes_back_in_a_new_service(shop: Shop) -> None:
    server = shop.server
    said = ok(server, "backups:run", "db")
    print(said)
    assert "20,001 rows in 2 tables are equal" in said and "backup 1 of db is verified" in said
    [backup] = shop.backups()
    assert (backup["state"], backup["rows"], backup["target"]) == ("verified", ROWS + 1, "offsite")
    assert shop.leftovers() == []
    manifest = json.loads((shop.bucket.data / s3.BUCKET / s3.PREFIX / f"{backup['key']}.json").read_text())
    assert (manifest["engine"], manifest["version"], manifest["sha256"]) == ("postgres", "15", backup["sha256"])
    assert "orders" not in str(manifest)
    sql(server, "db", "DROP TABLE gone_soon")
    said = ok(server, "backups:restore", "db", "--as", "db-restored")
    print(said)
    assert "services:promote db-restored APP" in said
    assert sql(server, "db-restored", "SELECT word FROM gone_soon") == "kept"
    assert sql(server, "db-restored", "SELECT count(*) FROM orders") == str(ROWS)
    ok(server, "services:destroy", "db-restored", "--force")
    assert shop.leftovers() == []


def test_what_lies_there_is_decrypted_by_age_with_an_admins_key(shop: Shop, tmp_path: Path) -> None:
    with (tmp_path / "db.age").open("wb") as file:
        done = subprocess.run(
            [*shop.server.ssh_command(), "deploy@127.0.0.1", "backups:download", "db"], stdout=file, timeout=60,
            check=False,
        )  # fmt: skip
    assert done.returncode == 0
    plain = subprocess.run(
        ["age", "-d", "-i", shop.server.key, tmp_path / "db.age"], capture_output=True, timeout=60, check=True
    )
    assert plain.stdout.startswith(b"PGDMP") and b"gone_soon" in plain.stdout


def test_a_backup_of_a_service_that_is_gone_is_found_at_its_target(shop: Shop) -> None:
    server = shop.server
    ok(server, "services:create", "old", "postgres:15", "--memory", "128m")
    sql(server, "old", "CREATE TABLE words AS SELECT 'still here' AS word")
    ok(server, "backups:run", "old", "--no-verify")
    ok(server, "services:destroy", "old", "--force")
    [found] = [row for row in shown(server, "backups:list", "--target", "offsite") if row["service"] == "old"]
    assert "old" in refused(server, "backups:list", "oldd")
    ok(server, "backups:restore", "--from", "offsite", found["key"], "--as", "old")
    assert sql(server, "old", "SELECT word FROM words") == "still here"
    ok(server, "services:destroy", "old", "--force")
