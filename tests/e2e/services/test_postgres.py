"""PostgreSQL beyond the contract: extensions, what a login makes outside of its role, nobody a superuser for long."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from gitship.errors import ServiceError
from gitship.services import measures
from gitship.services.engine_catalog import EngineCatalog
from tests.e2e import docker_cli
from tests.e2e.services.images import IMAGES
from tests.e2e.services.running import Started, started
from tests.places import own_name
from tests.waiting import wait_until

VERSION = "15"


@pytest.fixture(scope="module")
def image(docker_host: str) -> Iterator[str]:
    with IMAGES[f"postgres:{VERSION}"].imported(docker_host, own_name("gitship-test-postgres")) as name:
        yield name


@pytest.fixture(scope="module")
def server(image: str, docker_host: str) -> Iterator[Started]:
    engine, version = EngineCatalog.load(None).find(f"postgres:{VERSION}")
    with started(docker_host, engine, version, image) as server:
        server.do("create")
        yield server


def superuser(server: Started, sql: str) -> str:
    words = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", "shop", "-c", sql]
    return docker_cli.docker(server.host, "exec", server.container, *words)


def query(sql: str) -> str:
    return f'psql -XAtq -v ON_ERROR_STOP=1 "$URL" -c "{sql}"'


def test_extensions_that_only_a_superuser_makes_are_restored(server: Started, image: str, docker_host: str) -> None:
    superuser(server, "CREATE EXTENSION pg_stat_statements; CREATE EXTENSION pageinspect")
    server.do("login", "ext_1", "Ext-1")
    server.client_output(
        query("CREATE EXTENSION pg_trgm; CREATE TABLE words AS SELECT 'word' AS w"), "ext_1", "Ext-1", ""
    )
    server.client_output(query("CREATE INDEX ON words USING gin (w gin_trgm_ops)"), "ext_1", "Ext-1", "")
    dump, before = server.dump(), measures.counts(server.do("count"))
    with started(docker_host, server.engine, server.version, image) as second:
        second.do("create")
        second.feed("restore", dump)
        assert measures.counts(second.do("count")) == before
        extensions = superuser(second, "SELECT string_agg(extname, ' ' ORDER BY extname) FROM pg_extension")
        assert extensions == "pageinspect pg_stat_statements pg_trgm plpgsql"
        assert superuser(second, "SELECT rolsuper OR rolcanlogin FROM pg_roles WHERE rolname = 'shop'") == "f"
        second.do("login", "ext_2", "Ext-2")
        second.client_output(query("ALTER TABLE words ADD COLUMN n int"), "ext_2", "Ext-2", "")


def test_nobody_is_a_superuser_after_a_restore_that_failed(image: str, docker_host: str) -> None:
    engine, version = EngineCatalog.load(None).find(f"postgres:{VERSION}")
    with started(docker_host, engine, version, image) as server:
        server.do("create")
        with pytest.raises(ServiceError, match=r"did not find magic string|does not appear to be a valid archive"):
            server.feed("restore", b"no dump at all\n" * 1000)
        assert superuser(server, "SELECT rolsuper FROM pg_roles WHERE rolname = 'shop'") == "f"


def test_what_a_login_made_as_itself_stays_when_it_is_dropped(server: Started) -> None:
    server.do("login", "self_1", "Self-1")
    sql = "RESET ROLE; CREATE SCHEMA own; CREATE TABLE own.things AS SELECT 1 AS n"
    superuser(server, "GRANT CREATE ON DATABASE shop TO self_1")
    server.client_output(query(sql), "self_1", "Self-1", "")
    server.do("drop_login", "self_1")
    assert superuser(server, "SELECT tableowner FROM pg_tables WHERE tablename = 'things'") == "shop"


def test_a_login_sees_no_other_database_and_is_no_superuser(server: Started) -> None:
    server.do("login", "near_1", "Near-1")
    superuser(server, "ALTER DATABASE postgres ALLOW_CONNECTIONS true")
    for sql in (
        "CREATE ROLE more",
        "COPY (SELECT 1) TO PROGRAM 'id'",
        "ALTER ROLE near_1 SUPERUSER",
        "SET ROLE postgres",
    ):
        assert server.run_client(query(sql), "near_1", "Near-1", "").returncode != 0, sql


def test_a_password_is_in_no_log_and_no_error(server: Started) -> None:
    server.do("login", "quiet_1", "Quiet-secret-1")
    with pytest.raises(ServiceError) as caught:
        broken = server.values("quiet_3", "Quiet-secret-3") | {"owner": "nobody_there"}
        server.actions.output(server.container, server.engine.login, broken, 30)
    assert 'role "nobody_there" does not exist' in caught.value.message
    logged = docker_cli.docker(server.host, "logs", server.container)
    assert "Quiet-secret" not in logged + caught.value.message + "".join(caught.value.lines)


def test_rows_are_counted_as_the_dump_has_them_however_busy_a_table_is(
    server: Started, image: str, docker_host: str
) -> None:
    superuser(server, "CREATE TABLE busy AS SELECT n FROM generate_series(1, 10) n")
    superuser(server, "ALTER DATABASE shop SET idle_in_transaction_session_timeout = '50ms'")
    action, gone = server.engine.snapshot, threading.Event()
    assert action is not None and server.engine.count is not None and server.engine.dump is not None
    with server.actions.holding(server.container, action, server.values(), gone) as name:
        values = server.values() | {"snapshot": name}
        superuser(server, "INSERT INTO busy SELECT 1 FROM generate_series(1, 90); SELECT pg_sleep(0.2)")
        counted = measures.counts(server.actions.output(server.container, server.engine.count, values, 60.0))
        superuser(server, "DELETE FROM busy")
        with server.actions.read(server.container, server.engine.dump, values, gone) as chunks:
            dump = b"".join(chunks)
    assert counted["public.busy"] == 10
    assert measures.counts(server.do("count"))["public.busy"] == 0
    superuser(server, "DROP TABLE busy; ALTER DATABASE shop RESET idle_in_transaction_session_timeout")
    held = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
    wait_until(lambda: superuser(server, held) == "0", 20, "the snapshot is let go")
    with started(docker_host, server.engine, server.version, image) as second:
        second.do("create")
        second.feed("restore", dump)
        assert measures.counts(second.do("count")) == counted
