"""Docker's disk is full in each step of what is done to a database: nothing lost, nothing left, and it works again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e import docker_cli
from tests.e2e.commands import ok, refused, shown
from tests.e2e.dockerd import OwnEngine, own_engine
from tests.e2e.harness import Server, running
from tests.e2e.services import notes
from tests.e2e.services.engines import engines, sql
from tests.e2e.test_disk import fill
from tests.e2e.test_docker_disk import small_disk
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.long,
    pytest.mark.timeout(400),
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root"),
]
SIZE_BYTES = 3 << 29
ROWS = 200_000  # 60 MB: more than is left when a server has just started
LEFT_BYTES = 70 << 20  # enough for the files of a new server


@dataclass
class Small:
    """A server whose Docker is on a small disk, with a filled database `db`; ``dump`` is its dump."""

    server: Server
    engine: OwnEngine
    dump: bytes

    def fill(self, left: int) -> None:
        """All but ``left`` bytes of the disk."""
        filler = fill(self.engine.data)
        os.truncate(filler, max(filler.stat().st_size - left, 0))

    def free(self) -> None:
        (self.engine.data / "filler").unlink()

    def load(self, *options: str) -> str:
        """What it said when it failed."""
        done = notes.Notes(self.server, "").run("services:load", "db", *options, stdin=self.dump)
        return "" if done.returncode == 0 else (done.stdout + done.stderr).decode(errors="replace")

    def left(self) -> list[str]:
        """Of services in Docker, beside those of the records."""
        own = f"gitship.server={self.server.server_id()}"
        records = self.server.database("SELECT container, volume FROM services")
        ids = [str(container) for container, _ in records if container]
        names = {docker_cli.docker(self.engine.host, "inspect", "-f", "{{.Name}}", i).strip().strip("/") for i in ids}
        volumes = {str(name) for (name,) in self.server.database("SELECT name FROM service_volumes WHERE use = 'kept'")}
        volumes |= {str(volume) for _, volume in records}
        found = set(docker_cli.names(self.engine.host, "container", own, "gitship.service-id")) - names
        return sorted(found | (set(docker_cli.names(self.engine.host, "volume", own, "gitship.service-id")) - volumes))

    def rows(self, service: str = "db") -> int:
        return int(sql(self.server, service, "SELECT count(*) FROM filler"))


@pytest.fixture(scope="module")
def small(module_base: Path) -> Iterator[Small]:
    disk = module_base / "docker"
    with (
        small_disk(disk, module_base / "disk.img", SIZE_BYTES),
        own_engine(beside_another=True, data=disk) as engine,
        running(module_base / "server", engine.host, lambda: False, docker={"min_free": "1m"}) as server,
        notes.database(server, ("15", "16")),
    ):
        ok(server, "services:create", "db", "postgres:15", "--memory", "128m")
        row = "md5(n::text) || md5((n + 1)::text) || repeat('x', 200)"
        sql(server, "db", f"CREATE TABLE filler AS SELECT n, {row} AS text FROM generate_series(1, {ROWS}) n")
        sql(server, "db", "CHECKPOINT")
        dump = notes.Notes(server, "").run("services:dump", "db").stdout
        (module_base / "backups").mkdir()
        ok(server, "backups:target:add", "disk", str(module_base / "backups"))
        ok(server, "backups:run", "db")
        yield Small(server, engine, dump)


STEPS = {
    "create": "services:create new postgres:15 --memory 128m",
    "clone": "services:clone db new",
    "load": "",
    "upgrade": "services:upgrade db 16",
    "verify": "backups:verify db",
    "restore": "backups:restore db --as new",
}


CASES = [(step, left) for step in STEPS for left in (0, LEFT_BYTES) if step != "create" or not left]


@pytest.mark.parametrize(
    ("step", "left"), CASES, ids=lambda value: value if isinstance(value, str) else f"{value}-left"
)
def test_a_full_disk_loses_nothing_and_the_next_try_works(small: Small, step: str, left: int) -> None:
    server, command = small.server, STEPS[step]
    rows, records = small.rows(), server.database("SELECT id, container, volume, version FROM services")
    small.fill(left)
    try:
        said = refused(server, *command.split()) if command else small.load("--replace")
    finally:
        small.free()
    assert "error: " in said and "hint: " in said and "internal" not in said and "Traceback" not in said
    assert "disk is full" in said and "free some space there" in said, said
    wait_until(lambda: small.left() == [], 60, "nothing is left of it")
    assert server.database("SELECT id, container, volume, version FROM services") == records
    assert small.rows() == rows
    assert [b["state"] for b in shown(server, "backups:list", "db")] == ["verified"]

    if command:
        ok(server, *command.split())
    else:
        assert small.load("--replace") == ""
    if step in ("clone", "restore"):
        assert small.rows("new") == rows
    if step == "upgrade":
        assert shown(server, "services:info", "db")["version"] == "16"
    if step in ("upgrade", "load"):
        ok(server, "services:rollback", "db", "--force")
    assert small.rows() == rows
    if step in ("create", "clone", "restore"):
        ok(server, "services:destroy", "new", "--force")


def test_a_dump_that_an_engine_writes_to_its_full_disk_fails_and_the_next_is_whole(small: Small) -> None:
    server, run = small.server, notes.Notes(small.server, "").run
    with engines(server, "valkey:8.1"):
        ok(server, "services:create", "cache", "valkey:8.1", "--memory", "64m")
        ok(server, "services:connect", "cache", "--", "SET", "word", "kept")
        small.fill(0)
        try:
            done = run("services:dump", "cache")
            assert done.returncode != 0 and b"error: " in done.stderr, done
        finally:
            small.free()
        dump = run("services:dump", "cache")
        assert dump.returncode == 0, dump.stderr
        loaded = run("services:load", "cache", "--replace", stdin=dump.stdout)
        assert loaded.returncode == 0, loaded.stderr
        assert "kept" in ok(server, "services:connect", "cache", "--", "GET", "word")
        ok(server, "services:destroy", "cache", "--force")
