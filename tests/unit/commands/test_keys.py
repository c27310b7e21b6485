from __future__ import annotations

import re
import threading

import pytest

from gitship.model import Role
from tests.unit.commands.world import ADA, BOB, World


def roles(world: World) -> dict[str, str]:
    return {row["name"]: row["role"] for row in world.ok("keys:list", "--format", "json").json}


def test_a_key_comes_from_standard_input_or_as_words(world: World) -> None:
    client = world.run("keys:add", "ada", "--role", "admin", stdin=(ADA + "\n").encode())
    assert client.code == 0, client.err
    assert client.out.startswith("added ada as admin, SHA256:")
    world.ok("keys:add", "bob", *BOB.split())
    assert roles(world) == {"ada": "admin", "bob": "deployer"}


def test_a_key_can_be_pasted_on_a_terminal(world: World) -> None:
    client = world.run("keys:add", "ada", pty=True, stdin=ADA.encode() + b"\r")
    assert client.code == 0
    assert roles(world) == {"ada": "deployer"}


def test_the_stored_key_has_no_comment(world: World) -> None:
    world.ok("keys:add", "ada", ADA)
    assert world.store.keys()[0].public_key == ADA.rpartition(" ")[0]


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (("keys:add", "ada", "nonsense"), 1),
        (("keys:add", "a b", ADA), 2),
        (("keys:add", "", ADA), 2),
        (("keys:add", "ada", "--role", "root", ADA), 2),
        (("keys:add", "ada"), 1),
    ],
)
def test_what_is_no_key_is_refused(world: World, argv: tuple[str, ...], code: int) -> None:
    client = world.run(*argv)
    assert client.code == code
    assert client.err.startswith("error: ")
    assert world.store.keys() == []


def test_the_same_key_or_name_twice_is_refused(world: World) -> None:
    world.ok("keys:add", "ada", ADA)
    assert "a key named 'ada' already exists" in world.run("keys:add", "ada", BOB).err
    assert re.match(r"error: the key SHA256:\S+ already exists\n", world.run("keys:add", "ada2", ADA).err)
    assert len(world.store.keys()) == 1


def test_the_last_admin_key_stays(world: World) -> None:
    world.ok("keys:add", "ada", "--role", "admin", ADA)
    world.ok("keys:add", "bob", BOB)
    refused = world.run("keys:remove", "ada")
    assert refused.code == 1
    assert "last admin key" in refused.err
    world.ok("keys:remove", "bob")
    assert roles(world) == {"ada": "admin"}


def test_two_admins_who_remove_each_other_at_once_leave_one(world: World) -> None:
    for round_ in range(20):
        for name in ("ada", "bob"):
            world.store.add_key(name, f"SHA256:{name}{round_}", f"ssh-ed25519 {name}", Role.ADMIN)
        gate = threading.Barrier(2)

        def remove(name: str, gate: threading.Barrier = gate) -> None:
            gate.wait(5)
            world.run("keys:remove", name)

        threads = [threading.Thread(target=remove, args=(name,)) for name in ("ada", "bob")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        left = world.store.keys()
        assert len(left) == 1
        world.store.remove_key(left[0].id)


def test_removing_an_unknown_key_names_the_nearest(world: World) -> None:
    world.ok("keys:add", "ada@laptop", ADA)
    client = world.run("keys:remove", "ada@lapto")
    assert client.code == 3
    assert "did you mean 'ada@laptop'?" in client.err
