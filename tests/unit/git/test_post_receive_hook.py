"""The post-receive hook, run by git itself on a push by file path; gitship is a script that notes how it was called."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from gitship.errors import ConfigError
from gitship.git import post_receive_hook

pytestmark = pytest.mark.clients

ENV = {
    **{k: v for k, v in os.environ.items() if not k.startswith("GIT_")},
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.com",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.com",
}
ZERO = "0" * 40


def git(directory: Path, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", *args], cwd=directory, env=ENV | env, capture_output=True, text=True, timeout=60, check=False
    )


class Pushed:
    """A work tree with one commit, a bare repository with the hook, and a stand-in for the gitship command."""

    def __init__(self, root: Path, exit_code: int = 0) -> None:
        self.calls = root / "calls"
        self.command = root / "it's gitship"
        self.command.write_text(
            f'#!/bin/sh\necho "$#:$*" >> {shlex.quote(str(self.calls))}\necho "deploy output"\ncat\nexit {exit_code}\n'
        )
        self.command.chmod(0o755)
        self.config = root / "my config.toml"
        self.work = root / "work"
        self.bare = root / "shop.git"
        git(root, "init", "-q", "-b", "main", str(self.work))
        git(self.work, "commit", "-q", "--allow-empty", "-m", "First")
        git(root, "init", "-q", "--bare", str(self.bare))
        installed = post_receive_hook.install(root / "hooks", self.config, (str(self.command),))
        (self.bare / "hooks" / "post-receive").symlink_to(installed)

    def push(self, *args: str) -> subprocess.CompletedProcess[str]:
        return git(self.work, "push", str(self.bare), *args)

    @property
    def head(self) -> str:
        return git(self.work, "rev-parse", "HEAD").stdout.strip()

    def called(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []


def test_a_push_by_file_path_asks_gitship_to_deploy_and_shows_its_output(tmp_path: Path) -> None:
    pushed = Pushed(tmp_path)
    done = pushed.push("main")
    assert done.returncode == 0
    assert pushed.called() == [f"7:--config {pushed.config} deploy:pushed shop {ZERO} {pushed.head} refs/heads/main"]
    assert "remote: deploy output" in done.stderr
    assert "Not deployed" not in done.stderr


def test_the_app_is_the_repository_even_through_a_link_of_another_name(tmp_path: Path) -> None:
    pushed = Pushed(tmp_path)
    link = tmp_path / "link.git"
    link.symlink_to(pushed.bare)
    # From within the link, and with PWD naming it: a shell believes that.
    git(link, "--git-dir", str(pushed.work / ".git"), "push", str(link), "main", PWD=str(link))
    assert "deploy:pushed shop " in pushed.called()[0]


def test_each_branch_is_handed_over_and_neither_tags_nor_deletions(tmp_path: Path) -> None:
    pushed = Pushed(tmp_path)
    git(pushed.work, "tag", "v1")
    pushed.push("main", "main:other", "v1")
    assert [call.split()[-1] for call in pushed.called()] == ["refs/heads/main", "refs/heads/other"]
    assert pushed.push("--delete", "other").returncode == 0
    assert len(pushed.called()) == 2


def test_a_failure_says_what_stands_and_how_to_go_on(tmp_path: Path) -> None:
    pushed = Pushed(tmp_path, exit_code=1)
    done = pushed.push("main")
    assert done.returncode == 0  # git's rule: after the branch has moved a hook cannot fail the push
    assert f"Not deployed. The push itself is kept: refs/heads/main is at {pushed.head}." in done.stderr
    assert "if gitship is not running, start it" in done.stderr


def test_the_command_it_prints_works_when_pasted_into_a_shell(tmp_path: Path) -> None:
    pushed = Pushed(tmp_path, exit_code=1)
    lines = pushed.push("main").stderr.splitlines()
    pasted = next(line.removeprefix("remote:") for line in lines if "deploy:pushed" in line)
    subprocess.run(["sh", "-c", pasted], timeout=60, check=False, stdin=subprocess.DEVNULL, capture_output=True)
    first, second = pushed.called()
    assert first == second


def test_a_gitship_that_is_gone_is_told_like_any_failure(tmp_path: Path) -> None:
    pushed = Pushed(tmp_path)
    pushed.command.unlink()
    assert "Not deployed" in pushed.push("main").stderr


def test_a_path_that_looks_like_a_placeholder_or_a_command_stays_a_path() -> None:
    text = post_receive_hook.render("@GITSHIP@ --config @CONFIG@", ("/x/@CONFIG@", "$(id)"), Path("/y/@GITSHIP@;z"))
    assert shlex.split(text) == ["/x/@CONFIG@", "$(id)", "--config", "/y/@GITSHIP@;z"]


def test_a_line_break_in_a_path_is_refused() -> None:
    with pytest.raises(ConfigError, match="line break"):
        post_receive_hook.render("@GITSHIP@", ("/x\nCOMMAND\n",), Path("/y"))


def test_installing_again_replaces_the_hook_and_leaves_nothing_else(tmp_path: Path) -> None:
    post_receive_hook.install(tmp_path, Path("/old"), ("gitship",))
    path = post_receive_hook.install(tmp_path, Path("/new"), ("gitship",))
    assert [p.name for p in tmp_path.iterdir()] == ["post-receive"]
    assert "--config /new" in path.read_text()
    assert "@" not in path.read_text().replace('"$@"', "")
    assert path.stat().st_mode & 0o777 == 0o700


def test_its_own_command_can_be_run_from_anywhere(tmp_path: Path) -> None:
    command = post_receive_hook.own_command()
    if command[0] == "/usr/bin/env":  # a checkout that is not installed
        probe = (*command[:-2], "-c", "import gitship; print(gitship.__file__)")
        out = subprocess.run(probe, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True).stdout
        assert Path(out.strip()).parent.name == "gitship"
        assert command[-2:] == ("-m", "gitship")
    else:
        assert Path(command[0]).parent == Path(sys.executable).parent
