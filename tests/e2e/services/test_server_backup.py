"""A backup of the whole server with its services: everything is lost, and they are back with their data and links."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.commands import ok, refused, shown
from tests.e2e.harness import Server
from tests.e2e.services.engines import engines, sql
from tests.e2e.test_backup import lose_everything, take
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e


def test_services_are_back_with_their_data_and_links(own_server: Server, base: Path) -> None:
    server, archive = own_server, base / "gitship.tar"
    with engines(server, "postgres:15"):
        ok(server, "services:create", "db", "postgres:15", "--memory", "128m")
        ok(server, "apps:create", "web")
        ok(server, "services:link", "db", "web")
        sql(server, "db", "CREATE TABLE orders AS SELECT n FROM generate_series(1, 5000) n")
        assert "not in it: the data of db" in take(server, archive)
        take(server, archive, "--services")
        lose_everything(server)
        assert server.gitship("restore", str(archive)).returncode == 0
        server.start()
        dumps = server.data_dir / "service-dumps"
        wait_until(lambda: not any(dumps.iterdir()), 90, f"db is back: {server.logs[-2000:]}")
        assert sql(server, "db", "SELECT count(*) FROM orders") == "5000"
        assert shown(server, "services:info", "db")["links"] == ["web (DATABASE)"]
        [(login,)] = server.database("SELECT name FROM service_logins WHERE link_id IS NOT NULL")
        assert sql(server, "db", f"SELECT rolname FROM pg_roles WHERE rolname = '{login}'") == login
        assert "nothing to go back to" in refused(server, "services:rollback", "db")
        ok(server, "services:unlink", "db", "web")
        ok(server, "services:destroy", "db", "--force")
