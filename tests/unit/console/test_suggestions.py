"""Whoever knows another tool and types its name for a command reads what does its work here."""

from __future__ import annotations

import re

import pytest

from gitship.console import command_registry, suggestions, suggestions_dokku
from tests.unit.commands.world import World

DOKKU = [(name, ours) for theirs, ours in suggestions_dokku.ROWS for name in suggestions.names(theirs)]
NOT_OURS = [
    (name.replace("*", "anything"), ours)
    for name, ours in [*DOKKU, *suggestions.OTHERS.items()]
    if command_registry.find(name) is None
]
SAID = re.compile(r"[a-z-]+(?::[a-z-]+)+")


@pytest.mark.parametrize(("name", "ours"), NOT_OURS)
def test_a_foreign_name_is_answered_with_ours_or_the_reason(world: World, name: str, ours: str) -> None:
    for words in ((name, "shop"), ("help", name)):
        client = world.run(*words)
        assert (client.code, client.out) == (2, "")
        assert client.err.startswith(f"error: no command '{name}'\nhint: ")
        assert client.err.count("\n") == 2
        assert ours.removeprefix("none: ").removeprefix("none yet: ") in client.err


def test_there_are_many_of_them_and_none_is_a_command_of_ours() -> None:
    assert len(NOT_OURS) > 120
    assert [name for name in suggestions.OTHERS if command_registry.find(name)] == []


@pytest.mark.parametrize("ours", sorted(set(suggestions.OTHERS.values())))
def test_what_the_answer_names_is_a_command(ours: str) -> None:
    for quoted in re.findall(r"`([^`]+)`", ours):
        if SAID.fullmatch(name := quoted.split()[0]):
            assert command_registry.find(name) is not None, name


def test_dokkus_row_comes_before_a_pattern_of_the_same_noun() -> None:
    assert (suggestions.here("nginx:set") or "").startswith("use `cache:set`, `redirects:add`")
    assert suggestions.here("apps:report") == "use `apps:info`"
    assert suggestions.here("config:sett") is None


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (("config", "set", "shop", "A=1"), "config:set"),
        (("apps", "list"), "apps:list"),
        (("ps", "list"), "ps:list"),
        (("logs", "deploy"), "logs:deploy"),
    ],
)
def test_a_blank_for_the_colon_is_seen(world: World, typed: tuple[str, ...], meant: str) -> None:
    world.memory.push("shop")
    client = world.run(*typed)
    assert client.code in (1, 2)
    assert client.err.endswith(f"hint: did you mean `{meant}`? see `help {meant}`\n")


def test_a_blank_for_the_colon_names_no_command_that_the_key_may_not_run(world: World) -> None:
    from gitship.model import Role

    assert "apps:destroy" not in world.run("apps", "destroy", "x", role=Role.VIEWER).err
