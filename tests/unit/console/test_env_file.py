"""Env files are read as their writers mean them, and what is exported comes back exactly."""

from __future__ import annotations

import subprocess
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitship.console.env_file import dotenv, parse, shell
from gitship.errors import GitshipError
from gitship.model import CONFIG_NAME
from tests.unit.commands.test_config import VALUES
from tests.unit.commands.world import World

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


def read(text: str) -> dict[str, str]:
    return {name: value for _, name, value in parse(text)}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A=1", "1"),
        ("A=", ""),
        ("A=''", ""),
        ("export A=1\n", "1"),
        ("  A = two words  \n", "two words"),
        ("A=1 # one", "1"),
        ("A=#none", ""),
        ("A=a#b", "a#b"),
        ("A=$HOME\\n", "$HOME\\n"),
        ("A='$HOME \\n # \"'", '$HOME \\n # "'),
        ('A="a\\nb\\t\\"\\\\\\$x" # c', 'a\nb\t"\\$x'),
        ('A="\\d"', "\\d"),
        ('A="p\\!w\\$\\`"', "p!w$`"),  # as Dokku exports it
        ('A="one\ntwo"\nB=2', "one\ntwo"),
        ("A='one\n# two'", "one\n# two"),
        ("A=1\r\nB=2\r\n", "1"),
        ('A="1"\r\n', "1"),
        ("A='it'\"'\"'s'", "it's"),
        ("\ufeffA=1", "1"),
        ("\n\n# x\nA=a=b", "a=b"),
    ],
)
def test_a_line_means(text: str, value: str) -> None:
    assert read(text)["A"] == value


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("A=1\nnonsense\n", 2),
        ("A=1\n\n2B=1", 3),
        ('A="one\ntwo"\nB="open', 3),
        ("A='open\n\n", 1),
        ('A="x"y', 1),
        ("A=1\n=2", 2),
    ],
)
def test_an_error_names_its_line(text: str, line: int) -> None:
    with pytest.raises(GitshipError, match=f"^line {line}[ :]"):
        read(text)


@given(st.dictionaries(st.sampled_from(["A", "B_2", "_c"]), texts))
def test_what_is_exported_is_read_back_exactly(values: dict[str, str]) -> None:
    assert read(dotenv(values)) == values
    assert read(shell(values)) == values


@given(st.text("A1_=' \"\\n#$export\t\r\n\ufeff\0", max_size=30) | st.text(max_size=30))
def test_any_text_is_variables_or_an_error(text: str) -> None:
    with suppress(GitshipError):
        assert all(CONFIG_NAME.fullmatch(name) for name in read(text))


@pytest.mark.parametrize(
    ("text", "line"), [(" " * (2 << 20) + "x", 1), ("A=\n" * 300_000 + "x", 300_001), ("A" + " " * (2 << 20) + "b", 1)]
)
def test_a_file_is_read_in_the_time_of_its_length(text: str, line: int) -> None:
    """Else in the time of its square: minutes."""
    with pytest.raises(GitshipError, match=f"line {line} is not NAME=VALUE"):
        read(text)


@pytest.mark.clients
def test_a_shell_reads_what_is_exported_for_it() -> None:
    script = shell(VALUES) + "".join(f'printf "%s\\0" "${name}"\n' for name in VALUES)
    done = subprocess.run(["sh"], input=script.encode(), capture_output=True, timeout=20, check=True)
    assert done.stdout.decode().split("\0")[:-1] == list(VALUES.values())


def test_import_sets_all_in_one_deploy_and_export_gives_them_back(world: World) -> None:
    world.memory.push("shop")
    client = world.run("config:import", "shop", stdin=dotenv(VALUES).encode())
    assert client.code == 0, client.err
    assert world.store.config(1) == VALUES
    assert len(world.store.deploys(1)) == 2
    assert world.ok("config:export", "shop", "--format", "json").json == VALUES
    for format_ in ("env", "shell"):
        assert read(world.ok("config:export", "shop", "--format", format_).out) == VALUES


def test_a_bad_file_changes_nothing(world: World) -> None:
    world.memory.push("shop")
    for stdin, told in ((b"A=1\nB", "line 2"), (b"A=1\nA=2", "line 2: A is given twice"), (b"", "no variable")):
        client = world.run("config:import", "shop", stdin=stdin)
        assert client.code != 0 and told in client.err
    assert world.store.config(1) == {} and len(world.store.deploys(1)) == 1


def test_without_a_restart_it_waits_and_says_so(world: World) -> None:
    world.memory.push("shop")
    client = world.run("config:import", "shop", "--no-restart", stdin=b"A=1")
    assert client.code == 0 and "the next deploy uses it" in client.err
    assert world.store.config(1) == {"A": "1"} and len(world.store.deploys(1)) == 1
