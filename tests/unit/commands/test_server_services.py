"""Services and links in the server's document: what comes out, and what a document leads to. No password is in it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitship.model.services import ServiceState
from tests.unit.commands.test_server import apply, exported
from tests.unit.commands.world import World
from tests.unit.memory.services import running_service


@pytest.fixture
def linked(world: World) -> World:
    world.ok("apps:create", "shop")
    world.ok("apps:create", "reports")
    running_service(world.store, "db", "shop")
    running_service(world.store, "db-old", "reports", read_only=True)
    return world


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[World]:
    made = World.open(tmp_path / "empty")
    yield made
    made.memory.close()


def steps(world: World, text: str) -> list[str]:
    code, out, err = apply(world, text, "--dry-run")
    assert code == 0, err
    return [line.split("  ")[0].rstrip() for line in out.splitlines()[1:]]


def test_an_export_has_services_and_links_and_no_password(linked: World) -> None:
    text = exported(linked)
    document = tomllib.loads(text)
    assert document["services"] == {
        "db": {"engine": "postgres:17", "memory": "512m"},
        "db-old": {"engine": "postgres:17", "memory": "512m"},
    }
    assert document["apps"]["shop"]["links"] == {"DATABASE": {"service": "db"}}
    assert document["apps"]["reports"]["links"] == {"DB_OLD_DATABASE": {"service": "db-old", "read_only": True}}
    assert "-password" not in text
    assert tomllib.loads(exported(linked, "--no-secrets"))["services"] == document["services"]


def test_what_was_exported_is_there_already(linked: World) -> None:
    assert "no change" in apply(linked, exported(linked), "--dry-run")[2]
    assert "no change" in apply(linked, exported(linked))[2]


def test_an_empty_server_is_told_the_commands_that_make_the_same(linked: World, empty: World) -> None:
    assert steps(empty, exported(linked)) == [
        "apps:create reports", "apps:create shop", "services:create db postgres:17 --memory 512m",
        "services:create db-old postgres:17 --memory 512m",
        "services:link db-old reports --alias DB_OLD_DATABASE --read-only --no-restart",
        "services:link db shop --alias DATABASE --no-restart",
    ]  # fmt: skip


def test_a_service_that_is_not_in_the_document_is_named_and_kept(linked: World) -> None:
    text = '[services.db]\nengine = "postgres"\nmemory = "1g"\n'
    code, out, err = apply(linked, text, "--dry-run")
    assert code == 0
    assert "kept: the service db-old is not in the document" in err
    assert "services:resize db --memory 1g" in out
    assert "destroy" not in out


def test_another_link_takes_the_place_of_one_by_unlinking_it_first(linked: World) -> None:
    text = '[apps.shop.links]\nDATABASE = { service = "db-old", scheme = "postgresql+psycopg" }\n'
    assert steps(linked, text) == [
        "services:unlink db shop --alias DATABASE",
        "services:link db-old shop --alias DATABASE --scheme=postgresql+psycopg --no-restart",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[services.db]\nengine = "mysql:8.4"', "db is postgres:17, but the document says mysql:8.4"),
        ('[services.db]\nengine = "postgres:18"', "first: services:upgrade db 18"),
        ('[services.new]\nengine = "postgers"', "did you mean postgres?"),
        ('[services.new]\nengine = "postgres:3"', "known: "),
        ('[services."NEW_"]\nengine = "postgres"', "cannot be the name of a service"),
        ('[services.new]\nmemory = "1g"', "needs engine"),
        ('[services.new]\nengine = "postgres"\nversion = "17"', "version"),
        ('[apps.shop.links]\nDATABASE = { service = "dbs" }', "did you mean 'db'?"),
        ('[apps.shop.links]\ndatabase = { service = "db" }', "cannot be an alias"),
        ("[apps.shop.links]\nDATABASE = {}", "needs service"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_done(linked: World, text: str, said: str) -> None:
    code, _, err = apply(linked, text)
    assert code
    assert said in err, err


def test_a_service_that_is_being_destroyed_is_not_in_it(linked: World) -> None:
    service = linked.store.find_service("db-old")
    assert service is not None
    linked.store.change_service(service.id, state=ServiceState.DESTROYING)
    assert list(tomllib.loads(exported(linked))["services"]) == ["db"]
