"""run, enter: which words are the program's, and what is refused before anything starts."""

from __future__ import annotations

import pytest

from gitship.console import command_registry
from gitship.model import Role
from gitship.oneoff.programs import OneOff
from tests.unit.commands.world import World


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (("run", "shop", "ls", "-l", "--help"), ("ls", "-l", "--help")),
        (("run", "shop", "--", "ls", "-l"), ("ls", "-l")),
        (("run", "shop", "git", "log", "--", "x"), ("git", "log", "--", "x")),
        (("run", "-e", "A=1", "shop", "env", "-e", "B"), ("env", "-e", "B")),
        (("run", "shop", "--timeout", "5m", "env", "--timeout", "x"), ("env", "--timeout", "x")),
        (("run", "--timeout=5m", "shop", "--detach", "cat", "-"), ("cat", "-")),
        (("run", "shop", "printf", "a b", ""), ("printf", "a b", "")),
    ],
    ids=lambda v: " ".join(v),
)
def test_all_words_after_the_first_of_the_program_are_its_own(
    world: World, typed: tuple[str, ...], words: tuple[str, ...]
) -> None:
    world.memory.push("shop")
    world.ok(*typed)
    [(app, command)] = world.memory.programs.ran
    assert (app, command.words) == ("shop", words)


def test_other_commands_words_are_left_alone() -> None:
    found = command_registry.find("config:set")
    assert found is not None
    assert command_registry.delimited(found, ("shop", "A=1", "--detach")) == ("shop", "A=1", "--detach")


def test_help_is_runs_own_only_before_the_program(world: World) -> None:
    assert world.ok("run", "--help").out.startswith("run APP [--detach]")
    assert world.memory.programs.ran == []


def test_streams_and_exit_code_are_the_programs(world: World) -> None:
    world.memory.push("shop")
    world.memory.programs.code = 42
    done = world.run("run", "shop", "cat", stdin=b"\x00binary\xff")
    assert (done.code, bytes(done.stdout.data), done.err) == (42, b"\x00binary\xff", "done\n")


def test_a_client_that_leaves_ends_with_130(world: World) -> None:
    world.memory.push("shop")
    world.memory.programs.leaves = True
    assert world.run("run", "shop", "cat").code == 130
    assert world.run("enter", "shop").code == 130


def test_limits_and_variables(world: World) -> None:
    world.memory.push("shop")
    world.ok("run", "shop", "-e", "A=1", "-e", "B=x=y", "env")
    assert world.ok("run", "--detach", "shop", "env").out == "shop.run.1.v1\n"
    world.ok("run", "--detach", "--timeout", "90s", "shop", "env")
    commands = [command for _, command in world.memory.programs.ran]
    assert commands[0].env == {"A": "1", "B": "x=y"}
    assert [command.timeout_s for command in commands] == [None, 86_400.0, 90.0]


@pytest.mark.parametrize(
    "typed",
    [
        ("run", "shop"),
        ("run", "shop", "-e", "A", "env"),
        ("run", "shop", "-e", "1A=2", "env"),
        ("run", "--timeout", "soon", "shop", "env"),
        ("run", "--timeout", "0s", "shop", "env"),
        ("run", "--timeout", "31d", "shop", "env"),
        ("run", "--no-such-option", "shop", "env"),
    ],
    ids=" ".join,
)
def test_what_is_typed_wrongly_starts_nothing(world: World, typed: tuple[str, ...]) -> None:
    world.memory.push("shop")
    done = world.run(*typed)
    assert done.code == 2
    assert "error: " in done.err and "hint: " in done.err
    assert world.memory.programs.ran == []


@pytest.mark.parametrize(
    ("typed", "entered"),
    [
        (("enter", "shop"), (None, None, ("/bin/sh",))),
        (("enter", "shop", "worker"), ("worker", None, ("/bin/sh",))),
        (("ps:exec", "shop", "web.2", "ls", "-l"), ("web", 2, ("ls", "-l"))),
        (("enter", "shop", "web", "--", "ls"), ("web", None, ("ls",))),
    ],
    ids=str,
)
def test_enter_names_its_container(
    world: World, typed: tuple[str, ...], entered: tuple[str | None, int | None, tuple[str, ...]]
) -> None:
    world.memory.push("shop")
    world.ok(*typed)
    [(app, process, number, command)] = world.memory.programs.entered
    assert (app, (process, number, command.words)) == ("shop", entered)


@pytest.mark.parametrize("process", ["wbe", "web.x", "web.0", "ls"])
def test_enter_refuses_an_unknown_process(world: World, process: str) -> None:
    world.memory.push("shop")
    done = world.run("enter", "shop", process, "ls")
    assert done.code == 1
    assert "no process type" in done.err and "hint: " in done.err
    assert world.memory.programs.entered == []


def test_list_stop_and_log(world: World) -> None:
    world.memory.push("shop")
    programs = world.memory.programs
    programs.there = [OneOff("shop.run.1.v1", "cat", 1, False, "ada", "running", 1_700_000_000.0, None)]
    programs.printed = {"shop.run.1.v1": ["one", "\x1b[2Jtwo"]}
    [row] = world.ok("run:list", "shop", "--format", "json").json
    assert row == {
        "name": "shop.run.1.v1", "release": 1, "mode": "detached", "status": "running", "by": "ada",
        "started_at": "2023-11-14T22:13:20Z", "ends_at": None, "command": "cat",
    }  # fmt: skip
    assert world.ok("run:stop", "shop", "shop.run.1.v1").out == "stopped shop.run.1.v1\n"
    assert world.run("run:stop", "shop", "run.9").code == 3
    log = world.ok("logs:run", "shop", "shop.run.1.v1").out
    assert log.startswith("one\n") and "two" in log and "\x1b" not in log


@pytest.mark.parametrize(
    "typed", [("run", "shop", "ls"), ("enter", "shop"), ("run:list", "shop"), ("logs:run", "a", "b")]
)
def test_viewers_may_not(world: World, typed: tuple[str, ...]) -> None:
    done = world.run(*typed, role=Role.VIEWER)
    assert done.code == 1 and "no permission" in done.err
    assert world.memory.programs.ran == []
    assert world.memory.programs.entered == []
