"""A build that takes too much memory is killed, and the error names the limit; on an engine of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import tomli_w

from gitship.config import load
from gitship.doctor.report import Level
from gitship.doctor.services import builds as builds_of_doctor
from gitship.engine.build_limits import BuildLimiter, BuildLimits
from gitship.engine.docker import DockerEngine
from gitship.engine.types import BuildOptions, BuildOutput, BuildStep, Image
from gitship.errors import DeployError
from tests.e2e.engine.context import BASE, context
from tests.e2e.engine.isolated_docker import IsolatedEngine, isolated_engine
from tests.places import own_name

pytestmark = pytest.mark.e2e

PARENT = f"/{own_name('gitship-test-')}"
MB = 1 << 20
# busybox's dd with a block of that size keeps all of it in memory
GREEDY = BASE + 'RUN ["/bin/busybox", "dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"]\n'


@pytest.fixture(scope="module")
def own() -> Iterator[IsolatedEngine]:
    with isolated_engine("--cgroup-parent", PARENT) as own:
        yield own
    for controller in Path("/sys/fs/cgroup").iterdir():
        for path in (controller / PARENT[1:] / "buildkit", controller / PARENT[1:]):
            with suppress(OSError):
                path.rmdir()


def build(engine: DockerEngine, text: str, **options: int) -> tuple[Image, list[BuildStep | BuildOutput]]:
    events: list[BuildStep | BuildOutput] = []
    asked = BuildOptions("limits:latest", no_cache=True, **options)  # type: ignore[arg-type]
    return engine.images.build(context(text), asked, events.append, threading.Event()), events


def test_builds_keep_to_the_limit_of_all_until_it_is_lifted(own: IsolatedEngine) -> None:
    limits = BuildLimits(memory_bytes=100 * MB, cpus=0.5, cgroup_parent=PARENT)
    with pytest.raises(DeployError) as killed:
        build(DockerEngine(own.host, build_limits=limits), GREEDY)
    assert "exit code 137" in killed.value.message and "all builds together (100m)" in killed.value.message
    assert "build_memory" in killed.value.hint
    _, events = build(DockerEngine(own.host, build_limits=limits), GREEDY.replace("200M", "20M"))
    assert not any(isinstance(event, BuildOutput) and "not limited" in event.text for event in events)
    build(DockerEngine(own.host, build_limits=BuildLimits(cgroup_parent=PARENT)), GREEDY)  # no setting: no limit


def test_a_step_that_starts_processes_without_end_fails(own: IsolatedEngine) -> None:
    forks = "i=0; while [ $i -lt 100 ]; do /bin/busybox sleep 30 & i=$((i+1)); done; exit 7"
    text = BASE + f'RUN ["/bin/busybox", "sh", "-c", "{forks}"]\n'
    with pytest.raises(DeployError) as kept:
        build(DockerEngine(own.host, build_limits=BuildLimits(pids=40, cgroup_parent=PARENT)), text)
    assert "exit code 2" in kept.value.message  # the shell's, which cannot fork any more
    with pytest.raises(DeployError) as free:
        build(DockerEngine(own.host, build_limits=BuildLimits(cgroup_parent=PARENT)), text)
    assert "exit code 7" in free.value.message


def test_the_classic_builder_keeps_to_the_limit_of_one_build(own: IsolatedEngine) -> None:
    engine = DockerEngine(own.host, builder="classic")
    with pytest.raises(DeployError) as killed:
        build(engine, GREEDY, memory_bytes=100 * MB)
    assert "137" in killed.value.message and "this build (100m)" in killed.value.message
    build(engine, GREEDY)


def test_builds_have_only_so_many_processes_and_yield_to_apps(own: IsolatedEngine) -> None:
    forks = BASE + 'RUN ["/bin/busybox", "sh", "-c", "for i in $(busybox seq 100); do busybox sleep 1 & done; wait"]\n'
    limits = BuildLimits(cgroup_parent=PARENT, share=0.25, pids=40)
    with pytest.raises(DeployError) as refused:
        build(DockerEngine(own.host, build_limits=limits), forks)
    assert any("fork" in line for line in refused.value.lines), refused.value.lines
    weights = [*Path("/sys/fs/cgroup").glob(f"cpu/{PARENT[1:]}/buildkit/cpu.shares")]
    assert not weights or weights[0].read_text().strip() == "256"
    build(DockerEngine(own.host, build_limits=BuildLimits(cgroup_parent=PARENT)), forks)


@contextmanager
def as_nobody() -> Iterator[None]:
    """As the service unit's user, whom cgroups may be read by and not written."""
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_what_root_has_set_before_the_start_holds_for_a_gitship_that_is_not_root(
    own: IsolatedEngine, tmp_path: Path
) -> None:
    settings = {"host": own.host, "cgroup_parent": PARENT, "build_memory": "100m", "build_pids": 60}
    config = tmp_path / "gitship.toml"
    config.write_text(tomli_w.dumps({"data_dir": str(tmp_path), "docker": settings}))
    limits = BuildLimits.of(load(config).docker)

    def asked() -> list[BuildStep | BuildOutput]:
        events: list[BuildStep | BuildOutput] = []
        with as_nobody():
            BuildLimiter(limits, own.host).limit(lambda: "cgroupfs", events.append)
        return events

    BuildLimits(cgroup_parent=PARENT).bring()  # what earlier tests had
    assert "builds are not limited" in str(asked())
    [before] = builds_of_doctor(load(config))
    assert before.level is Level.WARN and "gitship limit-builds" in before.fix
    command = [sys.executable, "-m", "gitship.cli", "limit-builds", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("all builds together: 100 MB, 60 processes")
    assert asked() == []
    [after] = builds_of_doctor(load(config))
    assert after.level is Level.OK and "100 MB" in after.text
    with pytest.raises(DeployError) as killed:
        build(DockerEngine(own.host, build_limits=limits), GREEDY)
    assert "all builds together (100m)" in killed.value.message
    BuildLimits(cgroup_parent=PARENT).bring()


def test_the_build_cache_is_pruned_to_a_limit(own: IsolatedEngine) -> None:
    engine = DockerEngine(own.host)
    for number in range(3):
        build(engine, BASE + f'RUN ["/bin/busybox", "dd", "if=/dev/zero", "of=/{number}", "bs=1M", "count=4"]\n')
    before = engine.images.cache_bytes()
    assert before > 8 * MB
    assert engine.images.prune_cache(1 << 40) == 0
    assert engine.images.prune_cache(0, unused_s=3600) == 0, "all of it was used within the hour"
    assert engine.images.prune_cache(0) > 0
    assert engine.images.cache_bytes() < before
