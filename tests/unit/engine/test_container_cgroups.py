"""A container's use from control groups of both versions, and from neither when they are another's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from gitship.engine import container_cgroups
from gitship.engine.container_cgroups import ContainerCgroup

ID = "bb81786ba44b" + "0" * 52
MIB = 1 << 20


class Machine:
    """A made-up /proc and /sys/fs/cgroup."""

    def __init__(self, root: Path) -> None:
        self.proc = root / "proc"
        self.sys = root / "sys"
        self.mounts: list[str] = []

    def process(self, lines: str) -> None:
        self.write(self.proc / "77" / "cgroup", lines)

    def mount(self, kind: str, place: str, options: str = "rw", root: str = "/") -> None:
        self.mounts.append(f"30 23 0:26 {root} {self.sys / place} rw,nosuid shared:9 - {kind} cgroup {options}")
        self.write(self.proc / "self" / "mountinfo", "\n".join(self.mounts) + "\n")

    def files(self, group: str, content: Mapping[str, str]) -> None:
        for name, text in content.items():
            self.write(self.sys / group / name, text)

    def write(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def find(self) -> ContainerCgroup | None:
        return container_cgroups.find(ID, 77, self.proc)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


V1_MEMORY = {
    "memory.usage_in_bytes": f"{90 * MIB}\n",
    "memory.limit_in_bytes": f"{256 * MIB}\n",
    "memory.stat": f"cache 1\ninactive_file 5\ntotal_inactive_file {30 * MIB}\n",
}
V2 = {
    "memory.current": f"{90 * MIB}\n",
    "memory.max": "max\n",
    "memory.stat": f"anon 1\ninactive_file {30 * MIB}\n",
    "cpu.stat": "usage_usec 1500000\nuser_usec 1\n",
}


def v1(machine: Machine) -> None:
    machine.process(f"9:memory:/docker/{ID}\n3:cpu,cpuacct:/docker/{ID}\n0::/\n")
    machine.mount("cgroup", "memory", "rw,memory")
    machine.mount("cgroup", "cpu,cpuacct", "rw,cpu,cpuacct")
    machine.mount("cgroup2", "unified")
    machine.files(f"memory/docker/{ID}", V1_MEMORY)
    machine.files(f"cpu,cpuacct/docker/{ID}", {"cpuacct.usage": "1500000000\n"})


def test_version_1_and_hybrid(machine: Machine) -> None:
    v1(machine)
    group = machine.find()
    assert group is not None
    usage = container_cgroups.read(group)
    assert usage is not None
    assert (usage.cpu_s, usage.memory_bytes, usage.limit_bytes) == (1.5, 60 * MIB, 256 * MIB)


def test_version_1_without_a_limit(machine: Machine) -> None:
    v1(machine)
    machine.files(f"memory/docker/{ID}", {"memory.limit_in_bytes": "9223372036854771712\n"})
    usage = container_cgroups.read(machine.find() or pytest.fail())
    assert usage is not None
    assert usage.limit_bytes is None


def test_version_2_as_systemd_names_it(machine: Machine) -> None:
    machine.process(f"0::/system.slice/docker-{ID}.scope\n")
    machine.mount("cgroup2", "")
    machine.files(f"system.slice/docker-{ID}.scope", V2)
    usage = container_cgroups.read(machine.find() or pytest.fail())
    assert usage is not None
    assert (usage.cpu_s, usage.memory_bytes, usage.limit_bytes) == (1.5, 60 * MIB, None)


def test_a_mount_that_shows_only_a_part_of_the_tree(machine: Machine) -> None:
    machine.process(f"0::/outer/docker/{ID}\n")
    machine.mount("cgroup2", "", root="/outer")
    machine.files(f"docker/{ID}", {**V2, "memory.max": str(64 * MIB)})
    usage = container_cgroups.read(machine.find() or pytest.fail())
    assert usage is not None
    assert usage.limit_bytes == 64 * MIB


def test_a_process_of_another_container_or_of_none_is_not_believed(machine: Machine) -> None:
    v1(machine)
    machine.process(f"9:memory:/docker/{ID[::-1]}\n3:cpuacct:/docker/{ID[::-1]}\n0::/init.scope\n")
    assert machine.find() is None
    assert container_cgroups.find(ID, 78, machine.proc) is None


def test_a_container_that_has_ended_uses_nothing_that_could_be_told(machine: Machine) -> None:
    v1(machine)
    group = machine.find()
    assert group is not None
    (machine.sys / f"memory/docker/{ID}/memory.usage_in_bytes").unlink()
    assert container_cgroups.read(group) is None


def test_the_peak_is_told_where_the_kernel_has_it(machine: Machine) -> None:
    v1(machine)
    group = machine.find()
    assert group is not None
    usage = container_cgroups.read(group)
    assert usage is not None and usage.peak_bytes is None
    machine.files(f"memory/docker/{ID}", {"memory.max_usage_in_bytes": f"{99 * MIB}\n"})
    usage = container_cgroups.read(group)
    assert usage is not None and usage.peak_bytes == 99 * MIB
