"""A PostgreSQL as it was at any moment, also of one in which gitship was killed; and a target that is away for long."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import docker_cli
from tests.e2e.commands import ok, refused, shown
from tests.e2e.forks import Forks
from tests.e2e.harness import Server, serving
from tests.e2e.services.engines import engines, sql
from tests.e2e.stage import long
from tests.e2e.trapdoor import Point, set_trap
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
KILLED = (  # while a segment goes from the spool to the target
    Point("before", "DirectoryTarget.put"),
    Point("after", "DirectoryTarget.put"),
    Point("after", "WalArchives.change_wal_archive"),
)
MOMENT = "to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00:00'"
SPOOL = "/var/lib/postgresql/data/pg_wal/gitship"


@dataclass
class Moments:
    """A server with a database `db` that has a point in time at the target `disk`."""

    server: Server
    disk: Path

    def times(self) -> list[dict[str, Any]]:
        return list(shown(self.server, "backups:times", "db"))

    def bases(self, state: str = "verified") -> list[int]:
        return [b["number"] for b in shown(self.server, "backups:list", "db") if b["state"] == state]

    def working(self) -> list[tuple[Any, ...]]:
        return self.server.database("SELECT kind FROM tasks WHERE state = 'running'")

    def write(self) -> None:
        """A row, and the end of the segment that it is in; gitship may be killed meanwhile."""
        self.in_container("psql", "-XAtq", "-U", "postgres", "-d", "db", "-c",
                          "INSERT INTO moments VALUES (clock_timestamp())", "-c", "SELECT pg_switch_wal()")  # fmt: skip

    def rows(self, service: str) -> str:
        return sql(self.server, service, "SELECT at FROM moments ORDER BY at")

    def in_container(self, *words: str) -> str:
        [(container,)] = self.server.database("SELECT container FROM services WHERE name = 'db'")
        return docker_cli.docker(self.server.docker_host, "exec", container, *words, check=False)

    def restored(self, at: str, name: str) -> str:
        """Its rows; it is gone again."""
        said = ok(self.server, "backups:restore", "db", "--at", f"'{at}'", "--as", name)
        assert "WAL segments were replayed" in said
        rows = self.rows(name)
        assert sql(self.server, name, "SELECT rolname FROM pg_roles WHERE rolcanlogin") == "postgres"
        ok(self.server, "services:destroy", name, "--force")
        return rows


@pytest.fixture(scope="module", params=["17", *long("15")])
def moments(request: pytest.FixtureRequest, docker_host: str, module_base: Path) -> Iterator[Moments]:
    base, before = module_base / f"server{request.param}", request.session.testsfailed
    failed = lambda: request.session.testsfailed > before  # noqa: E731
    with (
        serving(Server(base, docker_host, forks=Forks(base, trapdoors=True)), failed) as server,
        engines(server, f"postgres:{request.param}"),
    ):
        made = Moments(server, module_base / f"disk{request.param}")
        ok(server, "backups:target:add", "disk", str(made.disk))
        ok(server, "services:create", "db", f"postgres:{request.param}", "--memory", "128m")
        sql(server, "db", "CREATE TABLE moments (at timestamptz)")
        ok(server, "backups:schedule", "db", "'0 3 * * *'", "--point-in-time", "--spool", "64m", "--keep", "2")
        wait_until(lambda: made.bases() == [1], 90, "the first base is verified", every_s=0.5)
        yield made
        for service in shown(server, "services:list"):
            ok(server, "services:destroy", service["name"], "--force")


def test_a_dropped_table_comes_back_with_the_rows_of_that_moment(moments: Moments) -> None:
    server = moments.server
    ok(server, "services:proxy", "db")  # a login that must not be in what is restored
    for point in KILLED:
        assert server.process is not None
        set_trap(server.trap, point, [server.process.pid])
        moments.write()
        wait_until(lambda: not server.trap.exists(), 60, "gitship is killed")
        server.kill9()
        server.start()
    moments.write()
    at = sql(server, "db", f"SELECT {MOMENT}")
    rows = moments.rows("db")
    assert len(rows.splitlines()) == 4
    moments.write()
    sql(server, "db", "DROP TABLE moments")
    assert moments.restored(at, "before") == rows
    said = refused(server, "backups:restore", "db", "--at", "'2020-01-01 00:00'", "--as", "before")
    assert "db cannot be restored to 2020-01-01 00:00:00" in said and "possible: 20" in said
    assert "is to come" in refused(server, "backups:restore", "db", "--at", "'2120-01-01 00:00'", "--as", "before")
    assert "already" in refused(server, "backups:schedule", "db", "@daily", "--point-in-time")
    sql(server, "db", "CREATE TABLE moments (at timestamptz)")


def test_the_next_base_proves_the_wal_since_the_one_before(moments: Moments) -> None:
    server = moments.server
    moments.write()
    [before] = moments.times()
    with closing(sqlite3.connect(server.data_dir / "gitship.db", timeout=10)) as db:
        db.execute("UPDATE backup_schedules SET seen_at = ?", (time.time() - 7 * 86_400,))
        db.commit()
    wait_until(lambda: moments.bases() == [2, 1] and not moments.working(), 90, "a second base", every_s=0.5)
    said = ok(server, "services:log", "db")
    assert "backup 1 of db: it was restored into a server of its own" in said
    [after] = moments.times()
    assert after["since"] == before["since"] and after["proven_until"] > before["until"] and not after["reason"]


def test_a_target_that_is_away_costs_a_gap_and_no_writes(moments: Moments) -> None:
    server = moments.server
    ok(server, "notify:add", "ops", "https://hooks.example.com/x", "--events", "backup.failed")
    moments.write()
    marker = moments.disk / ".gitship-target"
    marker.rename(marker.with_name("aside"))
    # no transaction is younger than the end of this segment, and so none says that its time has come
    sql(server, "db", "SELECT pg_sleep(1.1); SELECT pg_switch_wal()")
    rows = moments.rows("db")
    megabyte = (
        "SELECT pg_logical_emit_message(false, 'filler', repeat(md5(n::text), 32768)) FROM generate_series(1, 110) n"
    )
    sql(server, "db", megabyte)
    wait_until(lambda: "gap" in moments.in_container("ls", SPOOL), 60, "the spool is full")
    assert int(moments.in_container("du", "-sm", SPOOL).split()[0]) <= 64 + 16 + 1
    moments.write()
    marker.with_name("aside").rename(marker)
    wait_until(lambda: len(moments.times()) == 2, 90, "a new base", every_s=0.5)
    ended, now = moments.times()
    assert "the spool of 64 MB was full" in ended["reason"] and (ended["open"], now["open"]) == (False, True)
    [(text,)] = server.database("SELECT text FROM deliveries")
    assert text.startswith("db: point in time: there is a gap: the spool of 64 MB was full")
    wait_until(lambda: moments.bases() == [3, 2] and not moments.working(), 90, "it is verified", every_s=0.5)
    assert not list(moments.disk.rglob("*000000000000000001.gz.age"))  # no base needs it any more
    written = moments.rows("db")
    assert moments.restored("now", "after") == written != rows
    until = ended["until"].replace("T", " ")
    assert moments.restored(until, "before") == rows
    [schedule] = shown(server, "backups:schedules", "db")
    assert schedule["point_in_time"] is True
    ok(server, "backups:unschedule", "db", str(schedule["id"]))
    wait_until(lambda: moments.in_container("ls", SPOOL) == "", 30, "nothing is archived any more")
    assert moments.times()[-1]["reason"] == "it was switched off"
    [newest, _] = [b["key"] for b in shown(server, "backups:list", "db") if b["base"] and b["sha256"]]
    ok(server, "services:destroy", "db", "--force")
    ok(server, "backups:restore", "--from", "disk", newest, "--as", "again")
    assert moments.rows("again") == written
