"""Completion in the real shells, with a stand-in for the alias that leads to the server."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from gitship import docs
from gitship.console import command_registry
from gitship.model import Role
from tests.unit.commands.world import World

pytestmark = pytest.mark.clients

# What a person at the prompt sees: the line is put where readline puts it, the answers are what readline would get.
_IN_BASH = """
shopt -s expand_aliases
alias ship='{ship} -p 2222'
source {script}
COMP_LINE=$1 COMP_POINT=${{#1}}
"$(complete -p ship | sed 's/.*-F \\([^ ]*\\).*/\\1/')"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
# compadd is what zsh's own completion calls: here it prints what it gets.
_IN_ZSH = """
compdef() {{ completer=$1 }}
compadd() {{ shift; print -l -- $@ }}
alias ship='{ship} -p 2222'
source {script}
words=(${{(z)1}}) CURRENT=${{#words}}
[[ $1 == *' ' ]] && words+=('') && (( CURRENT++ ))
$completer
"""


@pytest.fixture
def ship(tmp_path: Path) -> Path:
    """Answers `apps:list --quiet` as the server does, when it is asked as the alias says."""
    path = tmp_path / "ssh"
    path.write_text('#!/bin/sh\n[ "$*" = "-p 2222 apps:list --quiet" ] && printf "shop\\nblog\\n"\n')
    path.chmod(0o755)
    return path


def complete(shell: str, world: World, directory: Path, ship: Path, line: str, role: Role = Role.ADMIN) -> list[str]:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} on this machine")
    script = directory / f"completion.{shell}"
    made = world.run("completion", shell, "--name", "ship", role=role)
    assert made.code == 0, made.err
    script.write_text(made.out)
    program = (_IN_BASH if shell == "bash" else _IN_ZSH).format(ship=ship, script=script)
    options = ["--norc", "--noprofile"] if shell == "bash" else ["-f"]
    done = subprocess.run(
        [shell, *options, "-c", program, shell, line], capture_output=True, text=True, timeout=20, check=True,
        env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_commands_apps_and_options_are_completed(world: World, tmp_path: Path, ship: Path, shell: str) -> None:
    def offered(line: str) -> list[str]:
        return complete(shell, world, tmp_path, ship, line)

    everything = {c.name for c in command_registry.load().values() if not c.hidden}
    assert everything <= set(offered("ship "))
    assert {"shop", "blog"} == set(offered("ship ps:scale "))
    assert "--no-restart" in offered("ship config:set shop --")
    assert "admin" not in offered("ship ps:scale shop ")
    assert "zsh" in offered("ship completion ")
    assert everything | set(docs.topics()) <= set(offered("ship help "))
    assert {"viewer", "deployer", "admin"} == set(offered("ship keys:add ci --role "))
    assert {"table", "json"} == set(offered("ship ps:list shop --format "))
    assert {"shop", "blog"} == set(offered("ship keys:add ci --app "))
    assert offered("ship logs shop --since ") == []


def test_bash_gets_what_follows_the_colon_it_splits_words_at(world: World, tmp_path: Path, ship: Path) -> None:
    assert complete("bash", world, tmp_path, ship, "ship config:s") == ["set", "show"]
    assert complete("bash", world, tmp_path, ship, "ship apps:des") == ["destroy"]
    assert complete("bash", world, tmp_path, ship, "ship nothing:like this") == []


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_only_what_the_key_may_do_is_offered(world: World, tmp_path: Path, ship: Path, shell: str) -> None:
    offered = complete(shell, world, tmp_path, ship, "ship ", Role.VIEWER)
    assert "apps:list" in offered
    assert "apps:destroy" not in offered
    assert "deploy:pushed" not in complete(shell, world, tmp_path, ship, "ship ")


@pytest.mark.parametrize("name", ["a b", "$(id)", "-x", "", "x" * 80, "a;b", "a'b"])
def test_a_name_that_is_no_command_does_not_get_into_a_script(world: World, name: str) -> None:
    client = world.run("completion", "bash", f"--name={name}")
    assert (client.code, client.out) == (2, "")
