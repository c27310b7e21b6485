"""A walk through every declared command and both git services, with keys that may not: what is refused, and what leaks.

The words are those of each command's own examples, with the app's name replaced; so a new command is walked as well.
"""

from __future__ import annotations

import functools
import io
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitship.console import command_registry
from gitship.console.audit_entry import apps_typed
from gitship.console.command_registry import Command
from gitship.console.session import Session
from gitship.errors import GitshipError
from gitship.model import Identity, Outcome, Role
from gitship.ssh.dispatch import RECEIVE, UPLOAD, Dispatcher
from tests.unit.commands.world import Sink, World

HIDDEN, MISSING, NEAR = "zebras", "absent", "zebrar"  # words that no help and no script has
NO_LOOKUP = {"apps:create", "demo:create", "audit"}  # these name apps that need not exist
GIT = {RECEIVE: Role.DEPLOYER, UPLOAD: Role.VIEWER}


class Walk:
    """A server with an app of others (``HIDDEN``) and one, ``mine``, that limited keys may use."""

    def __init__(self, world: World, directory: Path) -> None:
        self.store = world.store
        repositories = world.memory.repositories
        for name in (HIDDEN, "mine"):
            world.memory.push(name)
        self.mine = world.store.app("mine").id
        world.store.add_key("ci", "SHA256:ci", "ssh-ed25519 ci", Role.DEPLOYER, [self.mine])
        self._dispatcher = Dispatcher(world.services, world.operations, repositories)

    def key(self, role: Role, *, limited: bool = True) -> Identity:
        return Identity("walker", role, "SHA256:walker", "192.0.2.1", frozenset({self.mine}) if limited else None)

    def run(self, identity: Identity, *argv: str) -> tuple[int, str]:
        """The exit code and all that is printed, on either stream."""
        printed = Sink()
        session = Session(argv, identity, io.BytesIO(b"A=1\n"), printed, printed)
        try:
            return self._dispatcher.run(session), printed.text
        except GitshipError as error:  # the session's owner prints it
            return 1, f"{printed.text}error: {error.message}\nhint: {error.hint}\n"

    def state(self) -> str:
        """Everything that is stored, but for the audit log."""
        return "\n".join(line for line in self.store._db.iterdump() if '"audit"' not in line and "sequence" not in line)


@pytest.fixture
def walk(world: World, tmp_path: Path) -> Iterator[Walk]:
    yield Walk(world, tmp_path)


def with_app(command: Command, app: str) -> list[tuple[str, ...]]:
    """The command's examples that name an app, with this one in its place."""
    if command.name == "deploy:pushed":  # hidden, so without examples
        return [(command.name, app, "0" * 40, "1" * 40, "refs/heads/main")]
    found = []
    for example in command.examples:
        name, *words = shlex.split(re.split(" [<>] ", example)[0])
        apps = apps_typed(command, tuple(words)).split(", ")
        if apps != [""]:
            of_app = re.compile(f"({'|'.join(map(re.escape, apps))})(/.*)?")  # a volume is APP/VOLUME
            found.append((name, *(of_app.sub(rf"{app}\2", word) if of_app.fullmatch(word) else word for word in words)))
    return found


@functools.cache  # a parse takes milliseconds
def steps() -> list[tuple[Role, tuple[str, ...]]]:
    found = [
        (command.role, argv) for command in command_registry.load().values() for argv in with_app(command, "{app}")
    ]
    return found + [(role, (service, "/{app}.git")) for service, role in GIT.items()]


def walked(app: str) -> list[tuple[Role, tuple[str, ...]]]:
    """Every way to name an app, with the role that it needs."""
    return [(role, tuple(word.replace("{app}", app) for word in argv)) for role, argv in steps()]


def taking_an_app() -> list[Command]:
    return [c for c in command_registry.load().values() if any("APP" in a.names for a in command_registry.arguments(c))]


def test_the_walk_misses_no_command_that_takes_an_app() -> None:
    walked_names = {argv[0] for _, argv in walked(HIDDEN)}
    assert {c.name for c in taking_an_app()} <= walked_names
    assert len(walked_names) > 20


@pytest.mark.parametrize(("role", "limited"), [(Role.VIEWER, False), (Role.DEPLOYER, True)])
def test_a_role_is_enforced_before_anything_is_looked_up(walk: Walk, role: Role, limited: bool) -> None:
    before, key = walk.state(), walk.key(role, limited=limited)
    for app in (HIDDEN, MISSING):
        for needed, argv in walked(app):
            if role.allows(needed):
                continue
            last = walk.store.audit(limit=1)
            code, printed = walk.run(key, *argv)
            hidden = argv[0] == "deploy:pushed"
            assert code == (2 if hidden else 1), argv
            assert ("no command" if hidden else "no permission for") in printed, (argv, printed)
            assert app not in printed, (argv, printed)
            [entry] = walk.store.audit(limit=1)
            assert [entry] != last, f"not in the audit log: {argv}"
            assert (entry.outcome, set(entry.app.split(", "))) == (Outcome.REFUSED, {app}), argv
    assert walk.state() == before


@pytest.mark.parametrize("role", [Role.VIEWER, Role.DEPLOYER])
def test_another_keys_app_is_answered_as_one_that_does_not_exist(walk: Walk, role: Role) -> None:
    before, key = walk.state(), walk.key(role)
    walks = 0
    for (needed, hidden), (_, missing), (_, near) in zip(walked(HIDDEN), walked(MISSING), walked(NEAR), strict=True):
        if not role.allows(needed):
            continue
        walks += 1
        code, printed = walk.run(key, *hidden)
        assert (code, printed.replace(HIDDEN, "*")) == _starred(walk.run(key, *missing)), hidden
        assert code == 1, (hidden, printed)
        if hidden[0] not in NO_LOOKUP and "no permission for" not in printed:  # config:show --reveal needs more
            assert f"no app '{HIDDEN}'" in printed, f"its examples do not get as far as to the app: {hidden}: {printed}"
        assert HIDDEN not in walk.run(key, *near)[1], near
        assert [e.outcome for e in walk.store.audit(limit=3)] == [Outcome.REFUSED] * 3, hidden
    assert walks >= (10 if role is Role.VIEWER else 20)
    assert walk.state() == before


def _starred(answer: tuple[int, str]) -> tuple[int, str]:
    return answer[0], answer[1].replace(MISSING, "*")


@pytest.mark.parametrize("role", [Role.VIEWER, Role.DEPLOYER])
def test_what_a_limited_key_may_list_names_no_other_app(walk: Walk, role: Role) -> None:
    shown = 0
    for command in command_registry.load().values():
        if not role.allows(command.role) or command in taking_an_app():
            continue
        for example in command.examples:
            _, printed = walk.run(walk.key(role), *shlex.split(example))
            assert HIDDEN not in printed, example
            shown += "mine" in printed
    assert shown, "apps:list shows the key's own app"


def test_an_admin_gets_past_every_role_and_is_told_what_does_not_exist(walk: Walk) -> None:
    key = walk.key(Role.ADMIN, limited=False)
    for _, argv in walked(MISSING):
        if argv[0] in {*NO_LOOKUP, RECEIVE}:  # a push would make it
            continue
        code, printed = walk.run(key, *argv)
        assert (code, f"no app '{MISSING}'" in printed) == (1, True), (argv, printed)
    assert walk.run(key, "apps:info", NEAR)[1].count(HIDDEN) == 1  # nobody is limited: the nearest name helps


def test_a_host_name_of_others_does_not_name_their_app(walk: Walk) -> None:
    admin, limited = walk.key(Role.ADMIN, limited=False), walk.key(Role.DEPLOYER)
    assert walk.run(admin, "domains:add", HIDDEN, "www.example.net")[0] == 0
    code, printed = walk.run(limited, "domains:add", "mine", "www.example.net")
    assert (code, HIDDEN in printed, "www.example.net belongs to another app" in printed) == (1, False, True)
    assert f"'{HIDDEN}'" in walk.run(admin, "domains:add", "mine", "www.example.net")[1]
