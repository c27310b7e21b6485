"""Disk, memory, clock and programs, each with little of it."""

from __future__ import annotations

import ctypes
import os
import shutil
import time
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import pytest

from gitship.config import Settings, load
from gitship.doctor import Finding, Level, machine

Usage = namedtuple("Usage", "total used free")
MB = 1 << 20


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "gitship.toml").write_text(f'data_dir = "{tmp_path}"\n')
    return load(tmp_path / "gitship.toml")


@pytest.mark.parametrize(
    ("free_mb", "level", "said"),
    [
        (50, Level.FAIL, "50 MB free at {}: pushes are refused, rollbacks work"),
        (900, Level.WARN, "900 MB free at {}"),
        (5120, Level.OK, "5.0 GB free at {}"),
    ],
)
def test_a_full_disk(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, free_mb: int, level: Level, said: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(1 << 40, 0, free_mb * MB))
    [finding] = machine.disk(settings)
    assert (finding.level, finding.text) == (level, said.format(settings.data_dir))
    assert ("server:cleanup" in finding.fix) is (level is not Level.OK)


@pytest.mark.parametrize(
    ("total_mb", "free_mb", "level", "fix"),
    [
        (400, 300, Level.WARN, "[varnish] memory"),
        (4000, 300, Level.WARN, "resources:limit"),
        (4000, 3000, Level.OK, ""),
    ],
)
def test_little_memory(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, total_mb: int, free_mb: int, level: Level, fix: str
) -> None:
    text = f"MemTotal: {total_mb << 10} kB\nMemAvailable: {free_mb << 10} kB\n"
    monkeypatch.setattr(Path, "read_text", lambda path: text)
    [finding] = machine.memory(settings)
    assert finding.level is level
    assert fix in finding.fix
    assert f"{free_mb} of {total_mb} MB" in finding.text


@pytest.mark.parametrize(("state", "level"), [(0, Level.OK), (5, Level.WARN), (-1, Level.OK)])
def test_a_clock_that_nobody_sets(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, state: int, level: Level
) -> None:
    kernel = SimpleNamespace(adjtimex=lambda buffer: state)
    monkeypatch.setattr(ctypes, "CDLL", lambda name, **more: kernel)
    [finding] = machine.clock(settings)
    assert finding.level is level
    assert ("timedatectl set-ntp true" in finding.fix) is (level is Level.WARN)


def test_a_clock_of_another_year_fails(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "gmtime", lambda: SimpleNamespace(tm_year=1970))
    [finding] = machine.clock(settings)
    assert (finding.level, finding.text) == (Level.FAIL, "it shows the year 1970")


def test_no_git_and_not_root(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    git, user = machine.programs(settings)
    assert (git.level, git.fix) == (Level.WARN, "apt-get install git")
    assert isinstance(user, Finding)
    assert user.level is Level.WARN
