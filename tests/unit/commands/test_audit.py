"""The audit log: what is in it, what never is, and how much of it is kept."""

from __future__ import annotations

import pytest

from gitship.console import command_registry
from gitship.model import AuditEntry, DeployState, Identity, Outcome, Role
from gitship.store import audit
from tests.unit.commands.world import BOB, World
from tests.unit.memory.server import Failure


def newest(world: World) -> AuditEntry:
    return world.store.audit(limit=1)[0]


def summary(world: World) -> list[tuple[str, str, str]]:
    """(action, app, outcome), oldest first."""
    return [(e.action, e.app, e.outcome.value) for e in reversed(world.store.audit())]


def test_what_changes_something_is_written_with_its_outcome(world: World) -> None:
    world.ok("apps:create", "shop")
    world.run("apps:create", "shop")
    world.ok("config:set", "shop", "A=1")
    world.run("apps:destroy", "shop", "--force", role=Role.DEPLOYER)
    assert summary(world) == [
        ("apps:create", "shop", "ok"),
        ("apps:create", "shop", "failed"),
        ("config:set", "shop", "ok"),
        ("apps:destroy", "shop", "refused"),
    ]
    assert newest(world).key_name == "ada"


def test_looking_is_not_written_unless_it_is_refused(world: World) -> None:
    world.ok("apps:create", "shop")
    for argv in (("apps:list",), ("logs", "shop"), ("help",), ("config:show", "shop"), ("logs", "nothing")):
        world.run(*argv, role=Role.VIEWER)
    assert len(world.store.audit()) == 1
    world.run("config:show", "shop", "--reveal", role=Role.VIEWER)
    assert summary(world)[1:] == [("config:show", "shop", "refused")]


def test_no_value_and_no_key_is_ever_in_it(world: World) -> None:
    world.ok("apps:create", "shop")
    world.run("config:set", "shop", "SECRET=swordfish", "--stdin", "PEM", stdin=b"herring")
    world.run("config:set", "shop", "not-a-name=swordfish")
    world.run("config:set", "shop", "swordfish")
    world.run("keys:add", "bob", "--app", "shop", BOB)
    world.run("keys:add", "eve", BOB.replace("A", "B"))
    world.run("keys:add", "bob", BOB, role=Role.VIEWER)
    text = repr(world.store.audit())
    assert "'keys:add'" in text and "bob as deployer" in text and "SECRET, PEM" in text
    for secret in ("swordfish", "herring", BOB.split()[1][:30], BOB.split()[1].replace("A", "B")[:30]):
        assert secret not in text


def test_it_has_what_a_command_was_about(world: World) -> None:
    world.memory.push("shop")
    for words, detail in (
        (("config:set", "shop", "A=swordfish", "B=x"), "A, B, deploy"),
        (("config:set", "shop", "C=x", "--no-restart"), "C"),
        (("config:global:set", "D=x", "--no-restart"), "D"),
        (("ps:scale", "shop", "web=2"), "web=2, deploy"),
        (("ps:restart", "shop"), "restart, deploy "),
        (("domains:add", "shop", "www.example.net", "example.net"), "www.example.net example.net"),
        (("redirects:add", "shop", "/old", "/new"), "/old"),
        (("allow:add", "shop", "192.0.2.1"), "192.0.2.1/32"),
        (("resources:limit", "shop", "--memory", "64m"), "memory of every process, deploy"),
        (("apps:rename", "shop", "store"), "to store, deploy"),
    ):
        world.ok(*words)
        [entry] = world.store.audit(limit=1)
        assert (entry.action, entry.detail.startswith(detail)) == (words[0], True), entry
        assert "swordfish" not in entry.detail


def test_a_command_is_in_it_while_it_runs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def watch(name: str, by: Identity) -> None:
        seen.append((newest(world).action, newest(world).outcome))
        raise RuntimeError("the server's own fault")

    monkeypatch.setattr(world.operations.apps, "create", watch)
    with pytest.raises(RuntimeError):
        world.run("apps:create", "shop")
    assert seen == [("apps:create", Outcome.STARTED)]
    assert newest(world).outcome is Outcome.FAILED


def test_a_deploy_that_fails_is_a_command_that_failed(world: World) -> None:
    world.memory.push("shop")
    world.memory.fail_next = Failure(DeployState.CHECKING, "answered 500", "look")
    assert world.run("ps:restart", "shop").code == 1
    assert summary(world) == [("ps:restart", "shop", "failed")]


def test_every_command_above_viewer_is_written_whatever_comes_of_it(world: World) -> None:
    ways_in = ("web:token", "web:token:remove")  # these change something, though every key may
    for command in command_registry.load().values():
        before = len(world.store.audit())
        words = ("nothing", "a" * 40, "b" * 40, "refs/heads/x") if command.name == "deploy:pushed" else ("nothing",)
        world.run(command.name, *words, role=Role.VIEWER)
        assert len(world.store.audit()) - before == (command.role is not Role.VIEWER or command.name in ways_in), (
            command.name
        )


def test_the_listing_has_all_and_can_be_for_one_app(world: World) -> None:
    for name in ("shop", "shopping", "blog"):
        world.ok("apps:create", name)
    world.ok("keys:add", "bob", "--app", "blog", "--app", "shop", *BOB.split())
    world.ok("apps:destroy", "shop", "--force")
    rows = world.ok("audit", "--app", "shop", "--format", "json").json
    assert [(row["action"], row["app"], row["outcome"]) for row in rows] == [
        ("audit", "shop", "started"),
        ("apps:destroy", "shop", "ok"),
        ("keys:add", "blog, shop", "ok"),
        ("apps:create", "shop", "ok"),
    ]
    assert [row["action"] for row in world.ok("audit", "-n", "2", "--format", "json").json] == ["audit", "audit"]
    assert "apps:destroy" in world.ok("audit").out
    assert world.run("audit", "-n", "0").code == 2
    assert world.run("audit", role=Role.DEPLOYER).code == 1


def test_terminal_escapes_in_what_was_typed_stay_out(world: World) -> None:
    world.run("apps:create", "a\x1b[2Jb")
    assert "\x1b" not in newest(world).app


def test_the_newest_rows_are_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "KEPT_ROWS", 5)
    for number in range(8):
        world.store.begin_audit(Identity("ada", Role.ADMIN), "apps:create", f"a{number}", Outcome.OK)
    assert [entry.app for entry in world.store.audit(limit=99)] == ["a7", "a6", "a5", "a4", "a3"]


def test_strangers_push_out_strangers_only(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "KEPT_STRANGERS", 2)
    monkeypatch.setattr(audit, "KEPT_ROWS", 5)
    world.ok("apps:create", "shop")
    for number in range(9):
        world.store.audit_stranger(f"SHA256:{number}", "192.0.2.9")
    kept = world.store.audit()
    assert [(e.action, e.fingerprint) for e in kept] == [
        ("login", "SHA256:8"),
        ("login", "SHA256:7"),
        ("apps:create", ""),
    ]
    assert (kept[0].outcome, kept[0].address, kept[0].detail) == (Outcome.REFUSED, "192.0.2.9", "unknown key")
