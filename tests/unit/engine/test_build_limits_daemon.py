"""Builds where Docker's cgroup driver is systemd: real processes in real cgroups of version 2.

What the limits do is systemd's and the kernel's; that a build's steps are in the unit is seen on a bare machine
(tests/e2e/test_install.py).
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gitship.config import DockerSettings
from gitship.engine import build_cgroup
from gitship.engine.build_limits import KEEPER, BuildLimits
from gitship.engine.build_limits_daemon import gather, keep, prepare, properties
from gitship.errors import EngineError
from tests.waiting import wait_until

pytestmark = [pytest.mark.clients, pytest.mark.skipif(os.geteuid() != 0, reason="makes cgroups")]


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A part of the kernel's tree that looks as a whole one of systemd's, Docker's too."""
    place = tmp_path / "cgroup"
    place.mkdir()
    subprocess.run(["mount", "-t", "cgroup2", "none", place], check=True)
    made = Path(tempfile.mkdtemp(prefix="gitship-test.", dir=place))
    (made / KEEPER).mkdir(parents=True)
    yield made
    for directory, _, _ in os.walk(made, topdown=False):
        os.rmdir(directory)
    subprocess.run(["umount", place], check=True)


MB = 1 << 20


def pids(cgroup: Path) -> set[int]:
    return {int(pid) for pid in (cgroup / "cgroup.procs").read_text().split()}


@pytest.mark.parametrize("place", ["", "system.slice"], ids=["older runc", "newer runc"])
def test_a_steps_processes_are_moved_and_those_of_containers_are_not(root: Path, place: str) -> None:
    step = root / place / "system.slice:docker:k3x9"
    container = root / place / "docker-5f1d.scope"
    started = []
    for cgroup in (step, container):
        cgroup.mkdir()
        child = subprocess.Popen(["sh", "-c", "sleep 60 & exec sleep 60"], start_new_session=True)
        started.append(child)
        (cgroup / "cgroup.procs").write_text(str(child.pid))
    try:
        before = pids(step)
        while pids(step):  # as often as is looked
            gather(root, root / KEEPER)
        assert before <= pids(root / KEEPER)
        assert started[1].pid in pids(container)
    finally:
        for child in started:
            os.killpg(child.pid, 9)
            child.wait()
        wait_until(lambda: not pids(root / KEEPER) and not pids(container), 10, "they have ended")


def test_limits_are_the_units_properties() -> None:
    assert properties(BuildLimits(memory_bytes=100 << 20, cpus=1.5, pids=50, share=0.25)) == [
        "MemoryMax=104857600", "MemorySwapMax=0", "CPUQuota=150%", "TasksMax=50", "CPUWeight=25"
    ]  # fmt: skip
    assert properties(BuildLimits()) == [
        "MemoryMax=infinity", "MemorySwapMax=infinity", "CPUQuota=", "TasksMax=infinity", "CPUWeight="
    ]  # fmt: skip


def test_outside_of_its_unit_it_moves_nothing() -> None:
    with pytest.raises(EngineError, match="what the unit gitship-builds"):
        keep(threading.Event())


def test_what_root_does_for_the_unit_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for function in (build_cgroup.apply, build_cgroup.limit_processes, build_cgroup.yield_to_apps):
        monkeypatch.setattr(function, "__defaults__", (tmp_path,))
    settings = DockerSettings(build_memory=100 * MB, build_cpus=1.5, build_pids=50)
    said = prepare(settings, "cgroupfs")
    assert said == "all builds together: 100 MB, 1.5 processors, 50 processes, 0.25 of a container's processor time"
    assert (tmp_path / "pids/docker/buildkit/pids.max").read_text() == "50"
    with pytest.raises(EngineError, match="cgroup driver is none"):
        prepare(settings, "none")
    assert prepare(replace(settings, builder="classic"), "systemd") == "builds have no limits in common"


def test_with_the_systemd_driver_it_is_systemd_that_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/said\n[ "$4" != "${{4%Max=104857600}}" ]\n')
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(build_cgroup, "ROOT", tmp_path)
    settings = DockerSettings(build_memory=100 * MB)
    with pytest.raises(EngineError, match="version 1"):
        prepare(settings, "systemd")
    (tmp_path / "cgroup.controllers").write_text("memory")
    assert prepare(settings, "systemd").startswith("all builds together, by the unit gitship-builds.service: 100 MB")
    asked = (tmp_path / "said").read_text()
    assert asked.startswith("set-property --runtime gitship-builds.service MemoryMax=104857600 MemorySwapMax=0 ")
    with pytest.raises(EngineError, match="builds are not limited"):
        prepare(replace(settings, build_memory=0), "systemd")
