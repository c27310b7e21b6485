"""`help TOPIC`: the manual in the terminal."""

from __future__ import annotations

import re

import pytest

from gitship import docs
from gitship.console import command_registry
from tests.unit.commands.world import World


def test_a_topic_is_wrapped_for_its_reader_and_plain_in_a_pipe(world: World) -> None:
    piped = world.run("help", "rollbacks").out
    assert piped.startswith("ROLLBACKS AND CANARIES\n")
    assert "\n\nAUTOMATIC ROLLBACK\n\n" in piped and "`-o canary=5%`" in piped
    assert "\x1b" not in piped and "**" not in piped
    assert 60 < max(len(line) for line in piped.splitlines() if not line.startswith("    ship ")) <= 100
    shown = world.run("help", "rollbacks", pty=True, columns=60).out
    assert "\x1b[1" in shown
    dumb = world.run("help", "rollbacks", pty=True, term="dumb", columns=60).out
    assert "\x1b" not in dumb
    assert max(len(line) for line in dumb.splitlines() if not line.startswith("    ship ")) <= 60


def test_lines_to_paste_are_whole_whatever_the_width(world: World) -> None:
    """A comment that is wrapped would be run."""
    line = "ship releases:rollback hello                # the release before this one, in a second or two"
    assert any(
        shown.strip() == line
        for shown in world.run("help", "rollbacks", pty=True, term="dumb", columns=40).out.splitlines()
    )
    assert line in world.run("help", "rollbacks").out


def test_a_link_says_how_to_read_on(world: World) -> None:
    out = " ".join(world.run("help", "ci").out.split())
    assert "deployer (`help access`) may" in out
    assert ".md" not in out and "](" not in out


def test_help_lists_the_topics_after_the_commands(world: World) -> None:
    out = world.run("help").out
    assert out.index("config:set") < out.index("\nTopics") < out.index(docs.topics()["volumes"].about)
    assert all(f"\n  {name} " in out for name in docs.topics())


def test_an_unknown_topic_names_the_nearest(world: World) -> None:
    client = world.run("help", "rollbacs")
    assert client.code == 2
    assert client.err == "error: no command or topic 'rollbacs'\nhint: did you mean `help rollbacks`?\n"


def test_json_has_the_text(world: World) -> None:
    [topic] = world.run("help", "volumes", "--format", "json").json
    assert topic == {
        "name": "volumes", "kind": "topic", "about": docs.topics()["volumes"].about,
        "text": docs.topics()["volumes"].text,
    }  # fmt: skip
    listed = {row["name"]: row for row in world.run("help", "--format", "json").json}
    assert set(docs.topics()) <= set(listed)
    assert (listed["config:set"]["kind"], listed["config:set"]["text"]) == ("command", None)
    [one] = world.run("help", "config:set", "--format", "json").json
    assert one == listed["config:set"]


def test_no_topic_is_called_as_a_command() -> None:
    """`help config` lists commands, so a topic of that name could not be read."""
    taken = {name for c in command_registry.load().values() for name in (c.name, c.noun, *c.aliases)}
    assert taken & set(docs.topics()) == set()


@pytest.mark.parametrize("name", docs.topics())
def test_every_topic_can_be_shown(world: World, name: str) -> None:
    client = world.run("help", name, pty=True, columns=80)
    assert client.code == 0
    assert docs.topics()[name].title in re.sub(r"\x1b\[[0-9;]*m", "", client.out)
    assert "<!--" not in client.out and ":begin" not in client.out
