"""A database's life beside an app that uses it, under load where visitors must not notice."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import apps, docker_cli
from tests.e2e.harness import Server
from tests.e2e.services import notes
from tests.e2e.services.notes import Notes, visitors
from tests.waiting import wait_to_be, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def shop(server: Server, module_base: Path) -> Iterator[Notes]:
    """An app whose first push has made its database."""
    with notes.database(server, ("15", "15.1", "16")) as image:
        made = Notes(server, image)
        repository = notes.repository(module_base / "shop", f"{image}:15")
        said = server.push_ok(repository, "shop")
        assert re.search(r"-----> Creating postgres:15 db", said), said
        assert said.index("shop gets DATABASE_URL") < said.index("Release command")
        yield made
        server.ssh("apps:destroy", "shop", "--force")
        for service in made.json("services:list"):
            server.ssh("services:destroy", service["name"], "--force")


@pytest.fixture
def load(shop: Notes) -> Iterator[notes.Visits]:
    """Visitors, none of whom may be failed."""
    before = shop.count
    with visitors(shop.server, "shop") as visits:
        wait_until(lambda: visits.answers[200] >= 5, 20, "visitors are answered")
        yield visits
    assert not visits.bad, (visits.answers, visits.bad[:5])
    assert shop.count >= before


def test_the_first_push_makes_the_database_and_a_page_writes_and_reads(shop: Notes) -> None:
    before = shop.count
    shop.write()
    assert shop.count == before + 1
    [service] = shop.json("services:list")
    assert (service["name"], service["engine"], service["status"], service["apps"]) == (
        "shop-db", "postgres", "running", ["shop"],
    )  # fmt: skip
    env = dict(line.split("=", 1) for line in shop.ssh("enter", "shop", "web", "env").splitlines() if "=" in line)
    assert env["DATABASE_HOST"] == "db" and env["DATABASE_URL"].startswith("postgresql://")
    assert env["DATABASE_USER"] not in ("postgres", env["DATABASE_NAME"])
    assert env["DATABASE_PASSWORD"] not in shop.ssh("config:show", "shop") + shop.ssh("releases:list", "shop")
    assert "psql" in shop.ssh("run", "shop", ["psql", "--version", "|", "head", "-1"][0], "--version")


def test_the_same_entry_again_changes_nothing(shop: Notes, module_base: Path) -> None:
    container = shop.server.database("SELECT container FROM services")
    apps.commit(module_base / "shop", "again", {"more": "x"})
    said = shop.server.push_ok(module_base / "shop", "shop")
    assert "Creating" not in said
    assert shop.server.database("SELECT container FROM services") == container


def test_a_changed_engine_is_refused_with_the_command(shop: Notes, module_base: Path) -> None:
    apps.commit(module_base / "shop", "newer", {"gitship.toml": notes.DECLARED.replace(":15", ":16")})
    refused = shop.server.push(module_base / "shop", "shop")
    assert refused.returncode != 0 and "services:upgrade shop-db 16" in refused.stderr, refused.stderr
    apps.git(module_base / "shop", "reset", "--hard", "HEAD~1")


@pytest.mark.parametrize(
    "command",
    ["services:rotate shop-db", "services:restart shop-db", "services:resize shop-db --memory 200m",
     "services:upgrade shop-db 15.1", "services:upgrade shop-db 16"],
)  # fmt: skip
def test_no_visitor_is_failed(shop: Notes, load: notes.Visits, command: str) -> None:
    shop.write()
    before = shop.count
    said = shop.ssh(*command.split())
    assert shop.count == before
    shop.write()
    if command.endswith("16"):
        assert re.search(r"[1-9][0-9]* rows in 1 tables are equal", said), said
        assert "kept for 7 days" in said
    print(command, f"{load.slowest_s:.2f} s", dict(load.answers))


def test_another_apps_link_and_unlink_are_not_noticed(shop: Notes, load: notes.Visits) -> None:
    used = "SELECT login FROM service_links WHERE login IS NOT NULL"  # the others are of before a rotation, and go
    wait_to_be(lambda: shop.server.database(f"SELECT 1 FROM service_logins WHERE id NOT IN ({used})"), [], 90)
    before = shop.sql("shop-db", "select count(*) from pg_roles where rolcanlogin")
    shop.ssh("apps:create", "reports")
    said = shop.ssh("services:link", "shop-db", "reports", "--read-only", "--alias", "SHOP")
    assert "SHOP_URL" in said
    shop.ssh("services:unlink", "shop-db", "reports")
    assert shop.sql("shop-db", "select count(*) from pg_roles where rolcanlogin") == before
    shop.ssh("apps:destroy", "reports", "--force")


def test_a_restart_of_gitship_is_not_noticed(shop: Notes, load: notes.Visits) -> None:
    container = shop.server.database("SELECT container FROM services")
    shop.server.restart()
    shop.write()
    assert shop.server.database("SELECT container FROM services") == container


def test_the_password_of_before_ends_with_the_containers_that_have_it(shop: Notes) -> None:
    old = shop.ssh("enter", "shop", "web", "printenv", "DATABASE_URL").strip()
    shop.ssh("services:rotate", "shop-db")
    new = shop.ssh("enter", "shop", "web", "printenv", "DATABASE_URL").strip()
    assert new != old
    shop.ssh("enter", "shop", "web", "psql", new, "-c", "'select 1'")
    wait_to_be(lambda: shop.server.deploys("shop")[-1][0], "live", 20)
    shop.ssh("server:reconcile")
    said = shop.server.ssh("enter", "shop", "web", "psql", old, "-c", "'select 1'")
    assert said.returncode != 0 and "failed" in said.stderr, said


def test_a_rollback_after_a_rotation_connects(shop: Notes) -> None:
    shop.write()
    count = shop.count
    shop.ssh("services:rotate", "shop-db")
    shop.ssh("releases:rollback", "shop", "v1")
    assert shop.count == count


def test_a_dump_is_loaded_beside_and_what_was_there_can_be_gone_back_to(shop: Notes) -> None:
    shop.write()
    dump = shop.run("services:dump", "shop-db").stdout
    at = shop.count
    shop.write()
    refused = shop.ssh("services:load", "shop-db", stdin=dump, code=1)
    assert "--replace" in refused
    shop.ssh("services:load", "shop-db", "--replace", stdin=dump)
    assert shop.count == at
    shop.write()
    shop.ssh("services:rollback", "shop-db", "--force")
    assert shop.count == at + 1


@pytest.mark.parametrize("harm", ["cut off", "of a newer major"])
def test_a_broken_dump_changes_nothing(shop: Notes, harm: str) -> None:
    shop.write()
    dump, count = shop.run("services:dump", "shop-db").stdout, shop.count
    container = shop.server.database("SELECT container, volume FROM services WHERE name = 'shop-db'")
    broken = dump[: len(dump) * 2 // 3] if harm == "cut off" else dump[:6] + b"\xff" + dump[7:]  # PGDMP, major, minor
    said = shop.ssh("services:load", "shop-db", "--replace", stdin=broken, code=1)
    assert "pg_restore" in said or "failed" in said
    assert ("unsupported version" in said) == (harm != "cut off"), said
    assert shop.count == count
    assert shop.server.database("SELECT container, volume FROM services WHERE name = 'shop-db'") == container


def test_a_clone_has_the_data_and_no_links(shop: Notes) -> None:
    shop.write()
    shop.ssh("services:clone", "shop-db", "copy")
    assert shop.sql("copy", "select count(*) from notes") == str(shop.count)
    assert shop.json("services:info", "copy")["links"] == []
    shop.ssh("services:destroy", "copy", "--force")
    assert "copy" not in shop.ssh("services:list")


@pytest.mark.parametrize("harm", ["rm -f", "kill", "network disconnect -f"])
def test_a_server_that_somebody_has_harmed_is_back_with_its_data(shop: Notes, harm: str) -> None:
    shop.write()
    count = shop.count
    host = shop.server.docker_host
    [(container, network)] = shop.server.database(
        "SELECT s.container, a.id FROM services s, apps a WHERE s.name = 'shop-db' AND a.name = 'shop'"
    )
    words = harm.split()
    if "network" in words:
        words.append(f"gitship-{shop.server.server_id()}-{network}")
    docker_cli.docker(host, *words, container)
    if harm == "kill":  # by hand, so Docker does not start it again
        wait_until(lambda: shop.json("services:info", "shop-db")["status"] != "running", 10, "it is down")
    shop.ssh("server:reconcile")
    wait_until(lambda: shop.server.get("shop", notes.PAGE).status == 200, 60, "the database is back")
    assert shop.count == count


def without_repair(shop: Notes, service: str) -> str:
    """What the refused restart says, "" while the reconciler is at work on the service."""
    said = shop.ssh("services:restart", service, code=1)
    return "" if "is busy" in said else said


def test_a_volume_that_is_gone_is_never_started_empty(shop: Notes) -> None:
    shop.ssh("services:create", "lost", "postgres:15", "--memory", "160m")
    host = shop.server.docker_host
    [(container, volume)] = shop.server.database("SELECT container, volume FROM services WHERE name = 'lost'")
    docker_cli.docker(host, "rm", "-f", container)
    docker_cli.docker(host, "volume", "rm", volume)
    said = wait_until(lambda: without_repair(shop, "lost"), 60, "the reconciler has looked")
    assert "gone" in said and "not started empty" in said, said
    assert volume not in docker_cli.docker(host, "volume", "ls", "-q").split()
    shop.ssh("services:destroy", "lost", "--force")


def test_two_linked_apps_do_not_reach_each_other_and_others_not_the_database(shop: Notes, module_base: Path) -> None:
    toml = "[services.own]\nengine = 'postgres:15'\nmemory = '160m'\nalias = 'OWN'\n"
    repository = notes.repository(module_base / "other", f"{shop.image}:15", toml=toml)
    apps.commit(repository, "without notes", {"Procfile": "web: /busybox httpd -f -p 5000 -h /www\n", "app.json": "{}"})
    shop.server.push_ok(repository, "other")

    def reaches(host: str, port: int) -> bool:
        word = f"exec 3<>/dev/tcp/{host}/{port}"
        return shop.server.ssh("run", "other", "timeout", "3", "bash", "-c", f"'{word}'").returncode == 0

    addresses = shop.server.database(
        "SELECT address FROM containers c JOIN apps a ON a.id = c.app_id WHERE a.name = 'shop'"
    )
    [(web,)] = addresses
    [(database,)] = shop.server.database("SELECT container FROM services WHERE name = 'shop-db'")
    networks = json.loads(
        docker_cli.docker(
            shop.server.docker_host, "inspect", database, "--format", "{{json .NetworkSettings.Networks}}"
        )
    )
    own = [network["IPAddress"] for network in networks.values()]
    assert not any(reaches(address, 5432) for address in own), "not linked: no way to the database"
    assert reaches("own", 5432)
    shop.ssh("services:link", "shop-db", "other", "--alias", "SHOP")
    assert reaches("shop-db", 5432)
    assert not reaches(web, 5000), "the database is no way to another app"
    shop.ssh("services:unlink", "shop-db", "other")
    links = "SELECT 1 FROM service_links l JOIN apps a ON a.id = l.app_id WHERE a.name = 'other' AND l.alias = 'SHOP'"
    wait_to_be(lambda: shop.server.database(links), [], 60)
    assert not reaches("shop-db", 5432), "the way is gone"
    shop.ssh("apps:destroy", "other", "--force")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("services:create x postgre:15", "did you mean postgres?"),
        ("services:create x postgres:3", "known: "),
        ("services:create shop-db postgres:15", "already exists"),
        ("services:create X postgres:15", "letters, digits"),
        ("services:create x postgres:14", "cannot be pulled"),  # no registry has it
        ("services:upgrade shop-db 17", "cannot be pulled"),
        ("services:create x postgres:15 --memory 1m", "at least"),
        ("services:link shop-db shop", "already linked"),
        ("services:destroy shop-db --force", "services:unlink shop-db shop"),
        ("services:unlink shop-db nobody", "no app"),
        ("services:info shop-dc", "did you mean 'shop-db'?"),
        ("services:upgrade shop-db 14", "older"),
        ("config:set shop DATABASE_URL=x", "by its link to shop-db"),
        ("postgres:create x", "services:create NAME postgres"),
    ],
)
def test_bad_input_is_told_and_leaves_nothing(shop: Notes, words: str, said: str) -> None:
    def kept() -> list[object]:
        columns = ("id, container, volume, version FROM services", "id FROM service_links", "name FROM service_volumes")
        return [shop.server.database(f"SELECT {found}") for found in columns]

    before = kept()
    answer = shop.server.ssh(*words.split())
    assert answer.returncode != 0 and re.search(said, answer.stderr), answer
    assert "hint: " in answer.stderr and "internal" not in answer.stderr
    assert kept() == before


def test_a_variable_of_the_app_is_never_hidden(shop: Notes) -> None:
    shop.ssh("apps:create", "own")
    shop.ssh("config:set", "own", "DATABASE_HOST=elsewhere")
    said = shop.ssh("services:link", "shop-db", "own", code=1)
    assert "DATABASE_HOST" in said and "--alias" in said
    shop.ssh("apps:destroy", "own", "--force")


def test_an_entry_that_is_taken_out_unlinks_and_keeps_the_data(shop: Notes, module_base: Path) -> None:
    shop.write()
    count = shop.sql("shop-db", "select count(*) from notes")
    files: dict[str, str | bytes | None] = {
        "gitship.toml": "", "Procfile": "web: /busybox httpd -f -p 5000 -h /www\n", "app.json": "{}",
    }  # fmt: skip
    apps.commit(module_base / "shop", "no database", files)
    said = shop.server.push_ok(module_base / "shop", "shop")
    assert "unlinking shop-db" in said
    wait_to_be(lambda: shop.server.deploys("shop")[-1][0], "live", 20)
    shop.ssh("server:reconcile")
    assert shop.json("services:info", "shop-db")["links"] == []
    assert "DATABASE" not in shop.ssh("enter", "shop", "web", "env")
    assert shop.sql("shop-db", "select count(*) from notes") == count
