"""Limits of builds: what is written into which cgroup, and what is said where it cannot be."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from gitship.engine import build_cgroup
from gitship.engine.build_errors import BuildFailure, explain
from gitship.engine.build_limits import KEEPER, BuildLimiter, BuildLimits, of_one
from gitship.engine.types import BuildOptions, BuildOutput, BuildStep

UNIX = "unix:///var/run/docker.sock"
MB = 1 << 20


def files(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture
def v1(tmp_path: Path) -> Path:
    """A tree that looks as a kernel with cgroups of version 1 makes it."""
    for name in ("memory/docker/buildkit/memory.memsw.limit_in_bytes", "memory/docker/buildkit/memory.limit_in_bytes"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("-1")
    (tmp_path / "cpu").mkdir()
    return tmp_path


@pytest.fixture
def v2(tmp_path: Path) -> Path:
    (tmp_path / "docker/buildkit").mkdir(parents=True)
    (tmp_path / "cgroup.controllers").write_text("cpu memory")
    (tmp_path / "docker/buildkit/memory.swap.max").write_text("max")
    return tmp_path


def test_version_1(v1: Path) -> None:
    build_cgroup.apply("/docker", 100 * MB + 5, 1.5, v1)
    wanted = str(100 * MB)
    assert files(v1) == {
        "cpu/docker/buildkit/cpu.cfs_period_us": "100000",
        "cpu/docker/buildkit/cpu.cfs_quota_us": "150000",
        "memory/docker/buildkit/memory.limit_in_bytes": wanted,
        "memory/docker/buildkit/memory.memsw.limit_in_bytes": wanted,
    }
    build_cgroup.apply("/docker", 0, 0.0, v1)
    assert set(files(v1).values()) == {"100000", "-1"}


def test_processes(v1: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    build_cgroup.limit_processes("/docker", 50, v1)
    assert files(v1)["pids/docker/buildkit/pids.max"] == "50"
    build_cgroup.limit_processes("/docker", 0, v1)
    assert files(v1)["pids/docker/buildkit/pids.max"] == "max"
    v2 = tmp_path_factory.mktemp("v2")
    (v2 / "cgroup.controllers").write_text("pids")
    build_cgroup.limit_processes("/docker", 0, v2)
    assert not (v2 / "docker").exists()
    build_cgroup.limit_processes("/docker", 50, v2)
    assert files(v2) == {
        "cgroup.controllers": "pids", "cgroup.subtree_control": "+pids", "docker/cgroup.subtree_control": "+pids",
        "docker/buildkit/pids.max": "50",
    }  # fmt: skip


def test_version_2(v2: Path) -> None:
    build_cgroup.apply("/docker", 100 * MB, 1.5, v2)
    assert files(v2) == {
        "cgroup.controllers": "cpu memory",
        "cgroup.subtree_control": "+memory +cpu",
        "docker/buildkit/cpu.max": "150000 100000",
        "docker/buildkit/memory.max": str(100 * MB),
        "docker/buildkit/memory.swap.max": "0",
        "docker/cgroup.subtree_control": "+memory +cpu",
    }
    build_cgroup.apply("/docker", 0, 0.0, v2)
    limits = {name: text for name, text in files(v2).items() if name.endswith(".max")}
    assert set(limits.values()) == {"max", "max 100000"}


@pytest.mark.parametrize("parent", ["/docker", "/my/own"])
def test_without_limits_nothing_is_made(tmp_path: Path, parent: str) -> None:
    build_cgroup.apply(parent, 0, 0.0, tmp_path)
    (tmp_path / "cgroup.controllers").write_text("cpu memory")
    build_cgroup.apply(parent, 0, 0.0, tmp_path)
    assert list(files(tmp_path)) == ["cgroup.controllers"]


@pytest.mark.parametrize(
    ("host", "driver", "said"),
    [
        (UNIX, "systemd", "the unit gitship-builds.service does not keep them"),
        (UNIX, "none", "Docker's cgroup driver is none"),
        ("tcp://192.0.2.1:2375", "cgroupfs", "Docker is on another machine"),
        (UNIX, "cgroupfs", "the cgroup of builds cannot be set"),
    ],
)
def test_where_it_cannot_be_kept_the_build_and_the_log_say_so(
    host: str, driver: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "memory").write_text("in the way")
    monkeypatch.setattr(build_cgroup.apply, "__defaults__", (tmp_path,))
    events: list[BuildStep | BuildOutput] = []
    limiter = BuildLimiter(BuildLimits(memory_bytes=100 * MB), host)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert limiter.limit(lambda: driver, events.append) == ""
    assert [type(event) for event in events] == [BuildOutput] * 2
    assert all(isinstance(e, BuildOutput) and e.text.startswith(f"builds are not limited: {said}") for e in events)
    assert len([r for r in caplog.records if said in r.getMessage()]) == 1  # once


def test_without_limits_docker_is_not_asked_and_nothing_is_said() -> None:
    def driver() -> str:
        raise AssertionError

    assert BuildLimiter(BuildLimits(cgroup_parent="/gitship-no-such-parent"), UNIX).limit(driver, print) == ""


def test_the_smaller_limit_of_app_and_server_is_the_classic_builders() -> None:
    options = BuildOptions("t", memory_bytes=200 * MB, cpus=0.5)
    made, words = of_one(options, BuildLimits(memory_bytes=100 * MB, cpus=2.0))
    assert (made.memory_bytes, made.cpus, words) == (100 * MB, 0.5, "this build (100m)")
    assert of_one(BuildOptions("t"), BuildLimits()) == (BuildOptions("t"), "")


def test_a_killed_step_names_the_limit() -> None:
    failure = BuildFailure("executor failed running [make]: exit code: 137", "[2/2] RUN make", (), "Dockerfile",
                      "all builds together (100m)")  # fmt: skip
    said, hint = explain(failure)
    assert said == (
        "[2/2] RUN make was killed (exit code 137): it exceeded the memory limit of all builds together (100m)"
    )
    assert "build_memory in [docker]" in hint


def test_builds_yield_to_containers(v1: Path) -> None:
    build_cgroup.yield_to_apps("/docker", 0.25, v1)
    assert (v1 / "cpu/docker/buildkit/cpu.shares").read_text() == "256"
    build_cgroup.yield_to_apps("/docker", 1.0, v1)  # taken back
    assert (v1 / "cpu/docker/buildkit/cpu.shares").read_text() == "1024"


def test_they_do_so_with_version_2(v2: Path) -> None:
    build_cgroup.yield_to_apps("/docker", 0.25, v2)
    assert (v2 / "docker/buildkit/cpu.weight").read_text() == "25"
    assert (v2 / "docker/cgroup.subtree_control").read_text() == "+cpu"
    build_cgroup.yield_to_apps("/docker", 1.0, v2)
    assert (v2 / "docker/buildkit/cpu.weight").read_text() == "100"


@pytest.mark.parametrize("parent", ["/docker", "/my/own"])
def test_where_nothing_is_to_yield_nothing_is_made(tmp_path: Path, parent: str) -> None:
    build_cgroup.yield_to_apps(parent, 1.0, tmp_path)
    (tmp_path / "cgroup.controllers").write_text("cpu pids")
    build_cgroup.yield_to_apps(parent, 1.0, tmp_path)
    assert list(files(tmp_path)) == ["cgroup.controllers"]


def test_where_they_cannot_yield_no_build_is_troubled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpu").write_text("in the way")
    monkeypatch.setattr(build_cgroup.yield_to_apps, "__defaults__", (tmp_path,))
    monkeypatch.setattr(build_cgroup.limit_processes, "__defaults__", (tmp_path,))
    monkeypatch.setattr(build_cgroup.apply, "__defaults__", (tmp_path,))
    events: list[BuildStep | BuildOutput] = []
    for driver in ("cgroupfs", "systemd"):
        assert BuildLimiter(BuildLimits(share=0.25, pids=10), UNIX).limit(partial(str, driver), events.append) == ""
    assert events == []


ALL = BuildLimits(memory_bytes=100 * MB, cpus=1.5, pids=50, share=0.25)


def test_with_the_systemd_driver_the_units_cgroup_counts(v2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_cgroup.holds, "__defaults__", (v2,))
    unit = v2 / KEEPER
    unit.mkdir(parents=True)
    assert not ALL.hold("systemd")
    limits = {"memory.max": f"{100 * MB}", "cpu.max": "150000 100000", "pids.max": "50", "cpu.weight": "25"}
    for name, text in limits.items():
        (unit / name).write_text(f"{text}\n")
    assert ALL.hold("systemd") and not ALL.hold("cgroupfs")
    events: list[BuildStep | BuildOutput] = []
    assert BuildLimiter(ALL, UNIX).limit(lambda: "systemd", events.append) == "all builds together (100m)"
    assert events == []


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_what_is_so_already_is_not_written_once_more(
    version: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a gitship that may not: root has done it."""
    root: Path = request.getfixturevalue(version)
    for function in (build_cgroup.apply, build_cgroup.limit_processes, build_cgroup.yield_to_apps, build_cgroup.holds):
        monkeypatch.setattr(function, "__defaults__", (root,))
    assert not ALL.hold("cgroupfs")
    ALL.bring()
    for switch in root.rglob("cgroup.subtree_control"):
        switch.write_text("cpu io memory pids\n")  # as the kernel tells it
    assert ALL.hold("cgroupfs")

    def refuse(path: Path, *args: object, **more: object) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as readonly:
        readonly.setattr(Path, "write_text", refuse)
        events: list[BuildStep | BuildOutput] = []
        assert BuildLimiter(ALL, UNIX).limit(lambda: "cgroupfs", events.append) == "all builds together (100m)"
        assert events == []
        for other in (replace(ALL, memory_bytes=MB), replace(ALL, cpus=1.0)):
            assert not other.hold("cgroupfs")
            assert BuildLimiter(other, UNIX).limit(lambda: "cgroupfs", events.append) == ""
    assert len(events) == 2
    for other in (replace(ALL, pids=51), replace(ALL, share=0.5)):
        assert not other.hold("cgroupfs")
    assert replace(ALL, memory_bytes=0, share=1.0).hold("cgroupfs")  # nobody asks


def test_the_kernels_word_for_no_limit_is_known(v1: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in (v1 / "memory/docker/buildkit").iterdir():
        file.write_text("9223372036854771712\n")
    monkeypatch.setattr(Path, "write_text", lambda *args: pytest.fail("written"))
    build_cgroup.apply("/docker", 0, 0.0, v1)
