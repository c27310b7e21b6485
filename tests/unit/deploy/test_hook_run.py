"""Hooks as files and as processes: real scripts, in a directory of their own."""

from __future__ import annotations

import json
import os
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from gitship.deploy import hook_files, hook_run
from gitship.deploy.hook_files import HookPoint
from gitship.deploy.hook_run import HookResult
from gitship.errors import DeployCanceled, DeployError
from tests.waiting import wait_until

pytestmark = pytest.mark.clients
LIMIT_S = 20.0


def script(directory: Path, name: str, text: str, mode: int = 0o755) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(mode)
    return path


def run(
    path: Path, document: bytes = b"{}", timeout_s: float = LIMIT_S, cancel: threading.Event | None = None, **env: str
) -> tuple[HookResult, list[str]]:
    lines: list[str] = []
    return hook_run.run(path, env, document, lines.append, cancel or threading.Event(), timeout_s), lines


def test_a_hook_gets_its_environment_alone_and_a_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET_OF_THE_SERVER", "swordfish")
    ended, lines = run(script(tmp_path, "h", "env | sort; cat; exit 3"), b'{"a": 1}', GITSHIP_APP="shop; rm -rf /")
    assert ended == HookResult(3, '{"a": 1}')
    assert "GITSHIP_APP=shop; rm -rf /" in lines
    assert {line.partition("=")[0] for line in lines[:-1]} <= {"GITSHIP_APP", "PATH", "LANG", "PWD", "SHLVL", "_"}


def test_a_document_larger_than_a_pipe_and_unread_is_no_obstacle(tmp_path: Path) -> None:
    large = json.dumps("x" * 300_000).encode()
    assert run(script(tmp_path, "a", "exit 0"), large)[0].code == 0
    assert run(script(tmp_path, "b", "wc -c"), large)[1] == [str(len(large))]


def test_a_hook_that_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    path = script(tmp_path, "h", f"(sleep 300; true) & echo $! > {tmp_path}/child; sleep 300")
    with pytest.raises(DeployError, match=r"took longer than 0\.5 s and was killed"):
        run(path, timeout_s=0.5)
    ensure_gone(int((tmp_path / "child").read_text()))


def test_a_hook_that_leaves_a_child_with_its_output_ends_all_the_same(tmp_path: Path) -> None:
    path = script(tmp_path, "h", f"sleep 300 & echo $! > {tmp_path}/child; echo done")
    assert run(path) == (HookResult(0, "done"), ["done"])
    ensure_gone(int((tmp_path / "child").read_text()))


def test_a_cancel_ends_a_hook(tmp_path: Path) -> None:
    cancel = threading.Event()
    timer = threading.Timer(0.2, cancel.set)
    timer.start()
    with pytest.raises(DeployCanceled):
        run(script(tmp_path, "h", "sleep 300"), cancel=cancel)
    timer.join()


def test_endless_output_is_cut_and_does_not_outlast_the_limit(tmp_path: Path) -> None:
    lines: list[str] = []
    with pytest.raises(DeployError, match="took longer"):
        hook_run.run(script(tmp_path, "h", "yes"), {}, b"", lines.append, threading.Event(), 0.4)
    assert len(lines) == hook_run.MOST_LINES + 1


def test_what_cannot_be_started_says_so(tmp_path: Path) -> None:
    path = tmp_path / "h"
    path.write_text("no first line")
    path.chmod(0o755)
    with pytest.raises(DeployError, match="cannot be started: Exec format error"):
        run(path)


def ensure_gone(pid: int) -> None:
    wait_until(lambda: _state(pid) == "Z")


def _state(pid: int) -> str:
    with suppress(OSError):
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
    return "Z"


# -- which files are hooks


def point(tmp_path: Path) -> Path:
    return hook_files.directory(tmp_path, HookPoint.BEFORE_BUILD)


def test_hooks_come_by_name_and_copies_of_editors_do_not(tmp_path: Path) -> None:
    for name in ("20-b", "10-a", "10-a~", ".hidden", "9-c"):
        script(point(tmp_path), name, "true")
    assert [h.name for h in hook_files.at(tmp_path, HookPoint.BEFORE_BUILD)] == ["10-a", "20-b", "9-c"]
    assert hook_files.at(tmp_path, HookPoint.AFTER_BUILD) == []
    assert [h.point for h in hook_files.everything(tmp_path)] == [HookPoint.BEFORE_BUILD] * 3


def test_what_somebody_else_could_have_written_is_refused(tmp_path: Path) -> None:
    script(point(tmp_path), "a", "true", 0o757)
    script(point(tmp_path), "b", "true", 0o644)
    (point(tmp_path) / "c").mkdir()
    (point(tmp_path) / "d").symlink_to("nowhere")
    (point(tmp_path) / "e").symlink_to("e")
    a, b, c, d, e = hook_files.at(tmp_path, HookPoint.BEFORE_BUILD)
    assert "writable by everyone" in a.refusal
    assert (b.refusal, "not executable" in b.skipped) == ("", True)
    assert (c.refusal, c.skipped) == ("", "it is not a file")
    assert "cannot be read" in d.refusal and "cannot be read" in e.refusal


def test_a_directory_that_everybody_can_write_makes_its_hooks_unsafe(tmp_path: Path) -> None:
    path = script(point(tmp_path), "a", "true")
    for open_one in (path.parent, tmp_path):
        open_one.chmod(0o777)
        [hook] = hook_files.at(tmp_path, HookPoint.BEFORE_BUILD)
        assert str(open_one) in hook.refusal
        open_one.chmod(0o755)
    assert hook_files.at(tmp_path, HookPoint.BEFORE_BUILD)[0].refusal == ""


def test_a_link_counts_as_what_it_leads_to(tmp_path: Path) -> None:
    target = script(tmp_path / "elsewhere", "real", "true")
    point(tmp_path).mkdir(parents=True)
    (point(tmp_path) / "a").symlink_to(target)
    assert hook_files.at(tmp_path, HookPoint.BEFORE_BUILD)[0].refusal == ""
    target.parent.chmod(0o777)
    assert "elsewhere" in hook_files.at(tmp_path, HookPoint.BEFORE_BUILD)[0].refusal


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_hook_of_another_user_is_refused(tmp_path: Path) -> None:
    os.chown(script(point(tmp_path), "a", "true"), 12345, 0)
    assert "belongs to user 12345" in hook_files.at(tmp_path, HookPoint.BEFORE_BUILD)[0].refusal
