"""Commands of services: what a key that is limited to some apps may learn of those of others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gitship.model import Identity, Role
from gitship.model.services import Service, TaskState
from tests.unit.commands.world import Client, World


def by_shop(world: World, *argv: str) -> Client:
    """A command by a key that is limited to the app ``shop``."""
    client = world.client(*argv)
    who = Identity("ci", Role.DEPLOYER, apps=frozenset({world.store.app("shop").id}))
    client.session = replace(client.session, identity=who)
    return world.go(client)


@pytest.fixture
def shared(world: World) -> Service:
    """A service of ``shop`` and of an app of others, whose deploy was a part of the last task."""
    world.memory.push("shop")
    world.memory.push("secret")
    store = world.store
    service = store.create_service("db", "postgres", "17", "postgres:17", 1 << 28, "db", "pw", None)
    for name in ("shop", "secret"):
        store.create_link(service, store.app(name).id, "DATABASE", "", 5432, read_only=False, declared="")
    task = store.begin_task(service.subject, "rotate", "ada")
    log = world.settings.data_dir / "service-tasks" / f"{task.id}.log"
    log.parent.mkdir(parents=True)
    log.write_text("-----> Deploy 2 of secret\n")
    store.end_task(task.id, TaskState.FAILED, "deploy 2 of secret did not go live")
    return service


def test_what_a_task_printed_of_another_keys_app_is_not_shown(world: World, shared: Service) -> None:
    said = by_shop(world, "services:log", "db")
    assert said.code != 0
    assert "secret" not in said.out + said.err

    said = by_shop(world, "services:info", "db")
    assert said.code == 0
    assert "secret" not in said.out + said.err


def test_nor_after_the_other_app_has_been_unlinked(world: World, shared: Service) -> None:
    links = world.store.service_links(service_id=shared.id, app_id=world.store.app("secret").id)
    world.store.delete_link(links[0].id)
    said = by_shop(world, "services:log", "db")
    assert "secret" not in said.out + said.err


def test_a_name_that_is_taken_tells_of_no_service_of_others(world: World, shared: Service) -> None:
    world.store.create_service("hidden", "postgres", "17", "postgres:17", 1 << 28, "hidden", "pw", None)
    taken = by_shop(world, "services:create", "hidden", "postgres:17")
    free = by_shop(world, "services:create", "nobody", "postgres:17")
    assert taken.code == free.code != 0
    assert taken.err.replace("hidden", "NAME") == free.err.replace("nobody", "NAME")
    assert "for example shop-hidden" in taken.err


def test_a_service_whose_engine_file_is_broken_can_be_looked_at(world: World, shared: Service) -> None:
    container = world.store.containers()[0].id  # one that the machine in memory has
    world.store.change_service(shared.id, container=container)
    (world.settings.data_dir / "engines").mkdir()
    (world.settings.data_dir / "engines" / "postgres.toml").write_text("title = ")

    assert "running" in world.ok("services:list").out
    assert "running" in world.ok("services:info", "db").out


def test_an_alias_is_checked_when_a_link_is_promoted_to_it(world: World, shared: Service) -> None:
    wrong = world.run("services:promote", "db", "shop", "--alias", "no name")
    assert "cannot be an alias" in wrong.err

    world.store.replace_config(world.store.app("shop").id, {"REPORTS_URL": "mine"})
    hidden = world.run("services:promote", "db", "shop", "--alias", "REPORTS")
    assert "shop has its own REPORTS_URL" in hidden.err
