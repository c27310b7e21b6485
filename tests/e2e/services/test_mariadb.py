"""MariaDB beyond the contract: views and routines run as who made them; `_` in a GRANT is any character."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gitship.services.engine_catalog import EngineCatalog
from tests.e2e import docker_cli
from tests.e2e.services.clients import MARIADB
from tests.e2e.services.images import IMAGES
from tests.e2e.services.running import ROOT_PASSWORD, Started, started
from tests.places import own_name

MADE = (
    "CREATE TABLE seen (id int primary key, note varchar(200)); "
    "INSERT INTO seen VALUES (1, 'CREATE DEFINER=`a`@`b` x'); "
    "CREATE TABLE log (n int); CREATE VIEW looked AS SELECT note FROM seen; "
    "CREATE FUNCTION total() RETURNS int READS SQL DATA RETURN (SELECT COUNT(*) FROM seen); "
    "CREATE TRIGGER logged AFTER INSERT ON seen FOR EACH ROW INSERT INTO log VALUES (NEW.id)"
)


@pytest.fixture(scope="module")
def image(docker_host: str) -> Iterator[str]:
    with IMAGES["mariadb:10.11"].imported(docker_host, own_name("gitship-test-mariadb")) as name:
        yield name


@pytest.fixture(scope="module")
def server(image: str, docker_host: str) -> Iterator[Started]:
    engine, version = EngineCatalog.load(None).find("mariadb:10.11")
    with started(docker_host, engine, version, image) as server:
        server.do("create")
        yield server


def query(sql: str) -> str:
    return f'{MARIADB} -e "$SQL"'.replace("$SQL", sql.replace("`", "\\`"))


def root(server: Started, sql: str) -> str:
    words = [
        "exec",
        "-e",
        f"MYSQL_PWD={ROOT_PASSWORD}",
        server.container,
        "mariadb",
        "-u",
        "root",
        "-N",
        "-B",
        "-e",
        sql,
    ]
    return docker_cli.docker(server.host, *words)


def works(server: Started, login: str, password: str, number: int) -> None:
    sql = f"INSERT INTO seen VALUES ({number}, 'x'); SELECT total(), COUNT(*), (SELECT COUNT(*) FROM log) FROM looked"
    printed = server.client_output(query(sql), login, password, "")
    assert printed.split() == [str(number), str(number), str(number - 1)]


def test_views_routines_and_triggers_outlive_who_made_them(server: Started, image: str, docker_host: str) -> None:
    server.do("login", "made_1", "Made-1")
    server.client_output(query(MADE), "made_1", "Made-1", "")
    server.do("login", "made_2", "Made-2")
    server.do("drop_login", "made_1")
    assert server.run_client(query("SELECT 1"), "made_1", "Made-1", "").returncode != 0
    works(server, "made_2", "Made-2", 2)
    dump = server.dump()
    with started(docker_host, server.engine, server.version, image) as second:
        second.do("create")
        second.feed("restore", dump)
        second.do("login", "made_3", "Made-3")
        works(second, "made_3", "Made-3", 3)
        note = second.client_output(query("SELECT note FROM seen WHERE id = 1"), "made_3", "Made-3", "")
        assert note == "CREATE DEFINER=`a`@`b` x"
        assert root(second, "SELECT DISTINCT definer FROM information_schema.views WHERE table_schema = 'shop'") == (
            "shop@localhost"
        )


def test_an_underscore_in_a_databases_name_is_no_other_character(server: Started) -> None:
    root(server, "CREATE DATABASE axb; CREATE TABLE axb.secret AS SELECT 1 AS n")
    values = server.values("under_1", "Under-1") | {"database": "a_b", "owner": "a_b"}
    for action in (server.engine.create, server.engine.login):
        server.actions.output(server.container, action, values, 60)
    client = MARIADB.replace("shop", "a_b")
    server.client_output(f"{client} -e 'CREATE TABLE own (n int)'", "under_1", "Under-1", "")
    assert "denied" in server.run_client(f"{client} -e 'SELECT n FROM axb.secret'", "under_1", "Under-1", "").stderr


def test_root_is_not_reached_over_the_network(server: Started) -> None:
    done = server.run_client(query("SELECT 1"), "root", ROOT_PASSWORD, "")
    assert done.returncode != 0
    assert "not allowed to connect" in done.stderr or "denied" in done.stderr
