from __future__ import annotations

import pytest

from gitship.console import command_registry
from gitship.console.command_registry import Command, find, parse
from gitship.errors import UsageError

COMMANDS = tuple(command_registry.load().values())


def known(name: str) -> Command:
    found = find(name)
    assert found is not None
    return found


def test_nothing_of_one_parse_is_in_the_next() -> None:
    """What a command takes is assembled once and copied for each parse."""
    first = parse(known("config:set"), ("shop", "A=1", "B=2", "--no-restart"))
    with pytest.raises(UsageError):
        parse(known("config:set"), ("blog", "--no-such-option", "C=3"))
    second = parse(known("config:set"), ("blog", "D=4"))
    assert first.arguments == {"app": "shop", "pairs": ("A=1", "B=2"), "no_restart": True}
    assert second.arguments == {"app": "blog", "pairs": ("D=4",)}
    assert parse(known("config:set"), ("shop", "A=1", "B=2", "--no-restart")) == first


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_no_argument_has_parts(command: Command) -> None:
    """The copy is of the arguments alone: those of a dataclass or a dictionary would share what was typed."""
    takes = command_registry._parser(command)[command.name].assemble_argument_collection()
    assert not [argument.name for argument in takes if argument.children]
