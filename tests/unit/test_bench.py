"""What the benches say when they cannot run."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.bench import commands, push, receive

pytestmark = pytest.mark.clients


@pytest.fixture
def no_sshd(monkeypatch: pytest.MonkeyPatch) -> None:
    real = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name, **more: None if name == "sshd" else real(name, **more))


def test_a_bench_without_sshd_says_what_to_install_before_anything_is_measured(
    no_sshd: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[object] = []
    monkeypatch.setattr(push, "push_to_live", measured.append)
    monkeypatch.setattr(sys, "argv", ["push"])
    with pytest.raises(SystemExit, match="apt-get install openssh-server"):
        push.main()
    with pytest.raises(SystemExit, match="apt-get install openssh-server"):
        commands.compare(1)
    assert measured == []


def test_only_the_half_that_needs_it_asks_for_it(no_sshd: None, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[object] = []
    monkeypatch.setattr(push, "push_to_live", measured.append)
    monkeypatch.setattr(sys, "argv", ["push", "--only", "live"])
    push.main()
    assert measured == [9]


def test_what_does_not_listen_is_told_with_its_own_words(tmp_path: Path) -> None:
    command = ["sh", "-c", "echo no hostkeys available >&2; exit 1"]
    with (
        pytest.raises(SystemExit, match="no hostkeys available"),
        receive._child(command, 1, tmp_path / "log"),
    ):
        raise RuntimeError("it listens")
    assert os.listdir(tmp_path) == ["log"]
