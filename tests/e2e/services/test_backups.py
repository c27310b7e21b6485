"""Backups of a real PostgreSQL at a real S3 server: proved, restored, and each thing that goes wrong once."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import docker_cli
from tests.e2e.backup_targets import s3
from tests.e2e.commands import ok, refused, shown
from tests.e2e.harness import Server
from tests.e2e.services.engines import engines, sql
from tests.e2e.stage import long
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e
ROWS = 20_000


@dataclass
class Shop:
    """A server with a filled database `db`, and a bucket that is its target `offsite`.

    ``act`` is done at the next request to the bucket that is ``wanted`` by its method and path.
    """

    server: Server
    bucket: s3.S3Server
    wanted: Callable[[str, str], bool] = lambda method, path: False
    act: Callable[[], object] = field(default=lambda: None)

    def answer(self, method: str, path: str) -> s3.Answer | None:
        if self.wanted(method, path):
            self.wanted = lambda method, path: False
            self.act()
        return None

    def during(self, wanted: Callable[[str, str], bool], act: Callable[[], object]) -> None:
        """``act`` is done at the next request of that kind, which waits for it."""
        self.act, self.wanted = act, wanted

    def fails(self, *command: str) -> str:
        """What it says, if anything: gitship may be gone by then."""
        done = self.server.ssh(*command)
        assert done.returncode != 0, done.stdout
        return done.stdout + done.stderr

    def container(self, service: str = "db") -> str:
        [(found,)] = self.server.database("SELECT container FROM services WHERE name = ?", service)
        return str(found)

    def settled(self) -> None:
        """Nothing is left, and the server works on."""
        wait_until(lambda: self.leftovers() == [], 60, "what is left in Docker goes")
        wait_until(lambda: not self.tasks() and self._answers(), 60, "the database answers", every_s=0.5)

    def tasks(self) -> list[tuple[Any, ...]]:
        return self.server.database("SELECT kind FROM tasks WHERE state = 'running'")

    def _answers(self) -> bool:
        return self.server.ssh("services:connect", "db", "--", "-c", "'select 1'").returncode == 0

    def backups(self, service: str = "db") -> list[dict[str, Any]]:
        return list(shown(self.server, "backups:list", service))

    def objects(self) -> list[str]:
        """What lies in the bucket."""
        place = self.bucket.data / s3.BUCKET
        found = [path for path in place.rglob("*") if path.is_file() and ".rclone_temp" not in path.name]
        return sorted(str(path.relative_to(place)) for path in found)  # a killed rclone leaves its own

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
    with (
        engines(server, "postgres:15", "valkey:8.1"),
        s3.serving(module_base / "s3") as bucket,
        s3.refusing(bucket, lambda method, path: made.answer(method, path)) as endpoint,
    ):
        made = Shop(server, bucket)
        target = ("backups:target:add", "offsite", f"s3://{s3.BUCKET}/{s3.PREFIX}", "--endpoint", endpoint)
        assert "the secret does not belong to the key" in server.ssh(*target, "--key-id", s3.KEY_ID, stdin="no").stderr
        assert shown(server, "backups:target:list") == [] and made.objects() == []
        ok(server, *target, "--key-id", s3.KEY_ID, stdin=s3.SECRET)
        ok(server, "services:create", "db", "postgres:15", "--memory", "128m")
        sql(server, "db", f"CREATE TABLE orders AS SELECT n, md5(n::text) FROM generate_series(1, {ROWS}) n")
        sql(server, "db", "CREATE TABLE gone_soon AS SELECT 'kept' AS word")
        yield made


def test_a_backup_is_verified_and_a_dropped_table_comes_back_in_a_new_service(shop: Shop) -> None:
    server = shop.server
    said = ok(server, "backups:run", "db")
    assert "20,001 rows in 2 tables are equal" in said and "backup 1 of db is verified" in said
    [backup] = shop.backups()
    assert (backup["state"], backup["rows"], backup["target"]) == ("verified", ROWS + 1, "offsite")
    assert shop.leftovers() == []
    manifest = json.loads((shop.bucket.data / s3.BUCKET / s3.PREFIX / f"{backup['key']}.json").read_text())
    assert (manifest["engine"], manifest["version"], manifest["sha256"]) == ("postgres", "15", backup["sha256"])
    assert "orders" not in str(manifest)
    sql(server, "db", "DROP TABLE gone_soon")
    said = ok(server, "backups:restore", "db", "--as", "db-restored")
    assert "services:promote db-restored APP" in said
    assert sql(server, "db-restored", "SELECT word FROM gone_soon") == "kept"
    assert sql(server, "db-restored", "SELECT count(*) FROM orders") == str(ROWS)
    ok(server, "apps:create", "web")
    ok(server, "services:link", "db", "web")
    ok(server, "services:promote", "db-restored", "web")
    assert shown(server, "services:info", "db-restored")["links"] == ["web (DATABASE)"]
    assert shown(server, "services:info", "db")["links"] == ["web (DB_RESTORED)"]
    assert "already" in server.ssh("services:promote", "db-restored", "web").stderr
    for service in ("db", "db-restored"):
        ok(server, "services:unlink", service, "web")
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
    [found] = [row for row in shown(server, "backups:list", "--target", "offsite") if row["name"] == "old"]
    assert "old" in refused(server, "backups:list", "oldd")
    ok(server, "backups:restore", "--from", "offsite", found["key"], "--as", "old")
    assert sql(server, "old", "SELECT word FROM words") == "still here"
    ok(server, "services:destroy", "old", "--force")


def test_an_engine_whose_dump_is_put_in_place_before_its_server_starts(shop: Shop) -> None:
    server = shop.server
    ok(server, "services:create", "cache", "valkey:8.1", "--memory", "64m")
    ok(server, "services:connect", "cache", "--", "set", "word", "kept")
    assert "1 rows in 1 tables are equal" in ok(server, "backups:run", "cache")
    ok(server, "backups:restore", "cache", "--as", "cache2")
    assert "kept" in ok(server, "services:connect", "cache2", "--", "get", "word")
    for service in ("cache", "cache2"):
        ok(server, "services:destroy", service, "--force")
    assert shop.leftovers() == []


def part(number: int) -> Callable[[str, str], bool]:
    return lambda method, path: method == "PUT" and f"partNumber={number}&" in f"{path}&"


def reads_dump(method: str, path: str) -> bool:
    return method == "GET" and path.partition("?")[0].endswith(".dump.age")


@pytest.fixture(scope="module")
def large(shop: Shop) -> Shop:
    """The dump has several parts of an upload."""
    row = "md5(n::text) || md5((n + 1)::text) || md5((n + 2)::text)"
    sql(shop.server, "db", f"CREATE TABLE filler AS SELECT {row} AS text FROM generate_series(1, 400000) n")
    return shop


def test_a_target_that_dies_in_the_middle_leaves_nothing_and_the_next_run_works(large: Shop) -> None:
    before = large.objects()
    large.during(part(2), large.bucket.kill)
    said = large.fails("backups:run", "db")
    assert "error: " in said and "hint: " in said and "internal" not in said
    large.bucket.start()
    newest = large.backups()[0]
    assert newest["state"] == "failed" and newest["reason"] and newest["bytes"] == 0
    assert large.objects() == before and large.leftovers() == []
    ok(large.server, "backups:run", "db", "--no-verify")
    assert large.backups()[0]["state"] == "listed"


def test_a_dump_that_dies_half_way_is_no_backup(large: Shop) -> None:
    before, host, container = large.objects(), large.server.docker_host, large.container()
    large.during(part(2), lambda: docker_cli.docker(host, "kill", container))
    said = large.fails("backups:run", "db")
    assert "pg_dump failed" in said or "Docker" in said
    assert large.backups()[0]["state"] == "failed"
    assert large.objects() == before
    large.settled()


POINTS = {  # requests of a backup, in their order
    "dump": lambda method, path: method == "POST" and "uploads" in path,
    "upload": part(3),
    "completion": lambda method, path: method == "POST" and "uploadId" in path,
    "hash": lambda method, path: method == "PUT" and ".sha256" in path,
    "listing": lambda method, path: method == "GET" and "list-type" in path,
    "manifest": lambda method, path: method == "PUT" and path.partition("?")[0].endswith(".json"),
}


@pytest.mark.parametrize("when", ["dump", "upload", *long("completion", "hash", "listing"), "manifest"])
def test_gitship_that_is_killed_while_it_backs_up_leaves_no_object(large: Shop, when: str) -> None:
    before = large.objects()
    large.during(POINTS[when], large.server.kill9)
    large.fails("backups:run", "db")
    large.server.start()
    newest = large.backups()[0]
    reason = "gitship was stopped in the middle of it (run it again: backups:run)"
    assert (newest["state"], newest["reason"]) == ("failed", reason)
    wait_until(lambda: large.objects() == before, 30, "the bucket is as before")
    large.settled()


def test_gitship_that_is_killed_while_it_verifies_leaves_no_server_and_the_backup_as_it_was(large: Shop) -> None:
    large.during(reads_dump, large.server.kill9)
    large.fails("backups:verify", "db", "1")
    large.server.start()
    assert [b["state"] for b in large.backups() if b["number"] == 1] == ["verified"]
    large.settled()
    ok(large.server, "backups:verify", "db", "1")


def test_gitship_that_is_killed_while_it_restores_leaves_no_service(large: Shop) -> None:
    large.during(reads_dump, large.server.kill9)
    large.fails("backups:restore", "db", "1", "--as", "half")
    large.server.start()
    wait_until(lambda: [s["name"] for s in shown(large.server, "services:list")] == ["db"], 60, "only db is left")
    large.settled()


def test_what_the_target_has_lost_or_changed_is_not_verified(shop: Shop) -> None:
    one = next(b for b in shop.backups() if b["number"] == 1)
    target, key = s3.target(shop.bucket.endpoint), one["key"]
    content = (shop.bucket.data / s3.BUCKET / s3.PREFIX / key).read_bytes()
    for changed, reason in ((content[:-1000], "cut off or changed"), (None, "has no")):
        target.put(key, [changed], threading.Event()) if changed else target.remove(key)
        assert reason in shop.fails("backups:verify", "db", "1")
        assert next(b for b in shop.backups() if b["number"] == 1)["state"] == "failed"
    target.put(key, [content], threading.Event())
    ok(shop.server, "backups:verify", "db", "1")
    assert shop.leftovers() == []


def test_a_link_goes_on_beside_a_backup_and_a_restart_does_not(large: Shop) -> None:
    server, said = large.server, []

    def meanwhile() -> None:
        said.append(ok(server, "services:link", "db", "web", "--no-restart"))
        said.append(refused(server, "services:restart", "db"))

    large.during(part(2), meanwhile)
    ok(server, "backups:run", "db", "--no-verify")
    assert "web gets DATABASE_URL" in said[0]
    assert "db is busy: backup" in said[1]
    ok(server, "services:unlink", "db", "web")


def test_a_schedule_makes_up_for_what_was_due_and_has_it_verified(shop: Shop) -> None:
    server = shop.server
    sql(server, "db", "DROP TABLE IF EXISTS filler")
    ok(server, "backups:schedule", "db", "'0 3 * * *'", "--target", "offsite", "--keep", "2d")
    assert "more often" in refused(server, "backups:schedule", "db", "'* * * * *'")
    with closing(sqlite3.connect(server.data_dir / "gitship.db", timeout=10)) as db:
        week_ago = time.time() - 7 * 86_400
        db.execute("UPDATE backup_schedules SET seen_at = ?, created_at = ?", (week_ago, week_ago))
        db.commit()
    wait_until(
        lambda: (shop.backups()[0]["by"], shop.backups()[0]["state"]) == ("schedule", "verified"), 90, "verified", 1
    )
    [row] = shown(server, "backups:schedules")
    assert row["overdue"] is False and row["last_verified"] and row["keep"] == "2d"
    [(count,)] = server.database("SELECT count(*) FROM backups WHERE schedule IS NOT NULL")
    assert count == 1
    assert shown(server, "services:info", "db")["last_backup"] == row["last_verified"]
    assert "verified backup at offsite" in server.gitship("doctor").stdout
    ok(server, "backups:unschedule", "db", str(row["id"]))
