"""The session's consoles: line ends, size, colours, and clients that go away."""

from __future__ import annotations

import sys

import pytest

from gitship.console.terminal import ClientGone, consoles
from tests.unit.commands.world import World


def test_a_client_that_has_gone_ends_the_command_and_leaves_the_process_alone(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    # Rich answers a BrokenPipeError by redirecting the whole process's stdout to /dev/null.
    world.ok("apps:create", "shop")
    for argv in (("apps:list",), ("help",), ("nothing",), ("apps:list", "--format", "json")):
        for pty in (False, True):
            client = world.client(*argv, pty=pty)
            client.stdout.broken = client.stderr.broken = True
            assert world.go(client).code == 130
            assert client.closed.is_set()
    sys.stdout.write("still here")
    sys.stdout.flush()
    assert capfd.readouterr().out == "still here"


def test_a_printing_console_reports_the_gone_client_as_client_gone(world: World) -> None:
    client = world.client(pty=True)
    client.stdout.broken = True
    with pytest.raises(ClientGone):
        consoles(client.session)[0].print("x")


def test_the_consoles_follow_the_window(world: World) -> None:
    client = world.client(pty=True, columns=80)
    out, errors = consoles(client.session)
    assert (out.width, errors.width) == (80, 80)
    assert client.session.pty is not None
    assert client.session.pty.resized is not None
    client.session.pty.resized(132, 50)
    assert (out.width, errors.width) == (132, 132)


def test_a_window_without_columns_is_survived(world: World) -> None:
    world.ok("apps:create", "shop")
    for columns in (0, 1):
        client = world.run("apps:list", pty=True, columns=columns)
        assert client.code == 0
        assert client.out


@pytest.mark.parametrize("term", ["dumb", "", "unknown"])
def test_a_terminal_that_knows_no_colours_gets_none(world: World, term: str) -> None:
    world.ok("apps:create", "shop")
    client = world.run("apps:list", pty=True, term=term)
    assert "shop" in client.out
    assert "\x1b" not in client.out


def test_the_daemons_own_environment_does_not_matter(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.ok("apps:create", "shop")
    before = world.run("apps:list", pty=True).out, world.run("apps:list").out
    for name, value in (("NO_COLOR", "1"), ("FORCE_COLOR", "1"), ("COLUMNS", "30"), ("TERM", "dumb")):
        monkeypatch.setenv(name, value)
    assert (world.run("apps:list", pty=True).out, world.run("apps:list").out) == before
