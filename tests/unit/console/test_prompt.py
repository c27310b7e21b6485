"""Answers typed on a raw terminal."""

from __future__ import annotations

import pytest

from gitship.console.prompt import PromptInterrupted, ask, read_all
from gitship.errors import GitshipError
from tests.unit.commands.world import World


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        (b"shop\r", "shop"),
        (b"shop\n", "shop"),
        (b"shpo\x7f\x7fop\r", "shop"),
        (b"\x7fshop\r", "shop"),
        (b"nonsense\x15shop\r", "shop"),
        (b"one two\x17shop\r", "oneshop"),
        ("é\x7fü\r".encode(), "ü"),
        (b"sh\x1b[D\x1b[3~op\x1bOP\r", "shop"),
        (b"shop\x04\r", "shop"),
        (b"shop\rrest", "shop"),
    ],
)
def test_a_line_is_edited_as_on_a_terminal(world: World, typed: bytes, line: str) -> None:
    assert ask(world.client(pty=True, stdin=typed).session, "? ") == line


@pytest.mark.parametrize("typed", [b"sho\x03p\r", b"\x04shop\r", b"sho", b""])
def test_leaving_is_no_answer(world: World, typed: bytes) -> None:
    with pytest.raises(PromptInterrupted):
        ask(world.client(pty=True, stdin=typed).session, "? ")


def test_what_is_typed_is_echoed_without_escape_sequences(world: World) -> None:
    client = world.client(pty=True, stdin="aé\x1b[A\x7fb\r".encode())
    ask(client.session, "Name: ")
    assert client.out == "Name: aé\b \bb\r\n"


def test_a_client_that_has_gone_is_no_answer(world: World) -> None:
    client = world.client(pty=True, stdin=b"shop\r")
    client.stdout.broken = True
    with pytest.raises(PromptInterrupted):
        ask(client.session, "? ")
    assert client.closed.is_set()


def test_standard_input_is_bounded_and_text(world: World) -> None:
    assert read_all(world.client(stdin=b"x" * 10_000).session, 10_000) == "x" * 10_000
    with pytest.raises(GitshipError, match="longer than 9,999 bytes"):
        read_all(world.client(stdin=b"x" * 10_000).session, 9_999)
    with pytest.raises(GitshipError, match="not UTF-8"):
        read_all(world.client(stdin=b"\xff\xfe").session, 100)


@pytest.mark.parametrize("typed", [b"\x03", b"\x04", b"A=1\r\x04"])
def test_on_a_terminal_where_a_file_should_come_a_key_leaves(world: World, typed: bytes) -> None:
    client = world.client(pty=True, stdin=typed)
    with pytest.raises(PromptInterrupted):
        read_all(client.session, 100)
    assert "Ctrl-C leaves" in client.err
    client = world.client(pty=True, stdin=typed)
    client.stderr.broken = True
    with pytest.raises(PromptInterrupted):
        read_all(client.session, 100)


def test_a_file_can_be_piped_in_beside_a_terminal(world: World) -> None:
    assert read_all(world.client(pty=True, stdin=b"A=1\r\nB=\t2\n").session, 100) == "A=1\r\nB=\t2\n"


def test_half_a_file_of_a_client_that_has_gone_is_no_file(world: World) -> None:
    client = world.client(stdin=b"TOKEN=ab")
    client.closed.set()
    with pytest.raises(PromptInterrupted):
        read_all(client.session, 100)
