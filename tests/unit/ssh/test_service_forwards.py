"""Who may forward to what: services only, by name and port, for deployers who may use them; and what the audit has."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitship.errors import GitshipError, NoPermission, NotFound, ServiceError, UsageError
from gitship.model import Identity, Key, Outcome, Role
from gitship.ssh.service_forwards import ServiceForwards
from tests.unit.commands.world import World
from tests.unit.memory.services import running_service


@pytest.fixture
def forwards(world: World) -> ServiceForwards:
    for name in ("shop", "blog"):
        world.memory.push(name)
    running_service(world.store, "db", "shop")
    running_service(world.store, "other", "blog")
    return ServiceForwards(world.store, world.operations)


def identity(world: World, name: str, role: Role = Role.DEPLOYER, apps: list[str] | None = None) -> Identity:
    ids = None if apps is None else [world.store.app(a).id for a in apps]
    key: Key = world.store.add_key(name, f"SHA256:{name}", f"ssh-ed25519 {name}", role, ids)
    return Identity(key.name, key.role, key.fingerprint, "192.0.2.1", key.apps, key.id)


def entries(world: World) -> list[tuple[str, Outcome, str]]:
    return [(e.key_name, e.outcome, e.detail) for e in world.store.audit() if e.action == "services:proxy"]


def test_a_deployer_reaches_a_service_by_its_name_and_port(world: World, forwards: ServiceForwards) -> None:
    target = forwards(identity(world, "dora"), "db", 5432)
    assert target.still_may()
    assert entries(world) == [("dora", Outcome.STARTED, "db")]
    target.ended("", 5, 7)
    assert entries(world) == [("dora", Outcome.OK, "db, 5 bytes to it, 7 from it")]


@pytest.mark.parametrize(
    ("host", "port", "kind"),
    [
        ("127.0.0.1", 5432, NotFound), ("localhost", 5432, NotFound), ("shop", 5432, NotFound), ("db", 22, UsageError),
        ("db", 0, UsageError), ("DB", 5432, NotFound), ("db.", 5432, NotFound), ("", 5432, NotFound),
        ("169.254.169.254", 80, NotFound),
    ],
)  # fmt: skip
def test_nothing_else_is_reached(
    world: World, forwards: ServiceForwards, host: str, port: int, kind: type[GitshipError]
) -> None:
    with pytest.raises(kind):
        forwards(identity(world, "dora", Role.ADMIN), host, port)
    [(_, outcome, detail)] = entries(world)
    assert outcome is Outcome.REFUSED
    assert detail.startswith(f"{host}:{port}: ")


def test_viewers_and_keys_of_other_apps_do_not(world: World, forwards: ServiceForwards) -> None:
    with pytest.raises(NoPermission):
        forwards(identity(world, "vera", Role.VIEWER), "db", 5432)
    limited = identity(world, "sam", apps=["shop"])
    assert forwards(limited, "db", 5432).still_may()
    with pytest.raises(NotFound) as hidden:
        forwards(limited, "other", 5432)
    with pytest.raises(NotFound) as absent:
        forwards(limited, "none!", 5432)
    assert hidden.value.message.replace("other", "*") == absent.value.message.replace("none!", "*")


def test_a_service_that_another_app_has_too_is_not_for_a_limited_key(world: World, forwards: ServiceForwards) -> None:
    target = forwards(identity(world, "sam", apps=["shop"]), "db", 5432)
    told: list[bool] = []
    world.store.rights_changed = lambda: told.append(target.still_may())
    service = world.store.find_service("db")
    assert service is not None
    world.store.create_link(service, world.store.app("blog").id, "DB", "x", 1, read_only=False, declared="")
    assert told == [False]  # and that is asked at once, so that an open connection ends


@pytest.mark.parametrize("how", ["removed", "limited", "viewer", "destroyed"])
def test_the_right_ends(world: World, forwards: ServiceForwards, how: str) -> None:
    by = identity(world, "dora")
    target = forwards(by, "db", 5432)
    service = world.store.find_service("db")
    assert service is not None and target.still_may()
    if how == "destroyed":
        world.store.delete_service(service.id)
    elif how == "limited":
        world.store.limit_key(by.key_id or 0, [world.store.app("blog").id])
    else:
        world.store.remove_key(by.key_id or 0)
        if how == "viewer":  # the same key, added again, is another one
            world.store.add_key("dora", by.fingerprint, "ssh-ed25519 dora", Role.VIEWER, None)
    assert not target.still_may()


def test_a_pool_of_connections_does_not_fill_the_audit_log(world: World, forwards: ServiceForwards) -> None:
    by = identity(world, "dora")
    for _ in range(50):
        forwards(by, "db", 5432).ended("", 1, 1)
        with pytest.raises(NotFound):
            forwards(by, "nothing", 5432)
    assert sorted(outcome for _, outcome, _ in entries(world)) == [Outcome.OK, Outcome.REFUSED]


def test_no_connection_while_data_are_copied(world: World, forwards: ServiceForwards) -> None:
    """What was written then would be lost with the old data."""
    service = world.store.find_service("db")
    assert service is not None
    containers = world.operations.service_reach
    one, other = socket.socketpair()
    with one, other:
        other.settimeout(5)
        containers.reached(service, one)
        containers._containers.outside.shut(service)
        assert other.recv(1) == b""
        with pytest.raises(ServiceError, match="are being copied"):
            containers.reached(service, one)
        containers._containers.outside.allow(service)
        containers.reached(service, one)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World.open(tmp_path)
    yield made
    made.memory.close()
