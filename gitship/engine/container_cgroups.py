"""Resource use of a container, read from its cgroup: 0.1 ms, against 1.0 s by Docker 20.10.

Version 1, version 2, or both side by side (hybrid); a machine that is not this one has no such files.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gitship.engine.types import Usage
from gitship.errors import NotFound

NO_LIMIT_BYTES = 1 << 60  # version 1 says "no limit" with the largest number that is a multiple of a page


@dataclass(frozen=True, slots=True)
class ContainerCgroup:
    """Where a container's files are."""

    cpu: Path
    memory: Path
    unified: bool  # version 2


class CgroupMeters:
    """Remembers each container's cgroup: it stays the same when the container starts again.

    ``pid_of`` gives a container's first process and raises NotFound when the container is gone.
    """

    def __init__(self, pid_of: Callable[[str], int]) -> None:
        self._pid_of = pid_of
        self._groups: dict[str, ContainerCgroup] = {}

    def forget(self, container_id: str) -> None:
        """The container goes."""
        self._groups.pop(container_id, None)

    def usage(self, container_id: str) -> Usage | None:
        """None when the container is gone, or its cgroup cannot be found."""
        known = self._groups.get(container_id)
        if known is not None and (usage := read(known)):
            return usage
        self.forget(container_id)
        try:
            found = find(container_id, self._pid_of(container_id))
        except NotFound:
            return None
        if found is None:
            return None
        self._groups[container_id] = found
        return read(found)


def find(container_id: str, pid: int, proc: Path = Path("/proc")) -> ContainerCgroup | None:
    """The control group of the container whose first process is ``pid``, or None when it cannot be told.

    A path without the container's id is another machine's process, or another's: it is not believed.
    """
    try:
        rows = [line.split(":", 2) for line in (proc / str(pid) / "cgroup").read_text().splitlines()]
        mounted = mounts(proc / "self" / "mountinfo")
    except OSError:
        return None
    paths = {name: path for _, names, path in rows for name in names.split(",") if container_id in path}
    if "memory" in paths and "cpuacct" in paths and {"memory", "cpuacct"} <= mounted.keys():
        return ContainerCgroup(
            _below(mounted["cpuacct"], paths["cpuacct"]), _below(mounted["memory"], paths["memory"]), False
        )
    if "" in paths and "" in mounted:
        group = _below(mounted[""], paths[""])
        return ContainerCgroup(group, group, True)
    return None


def read(group: ContainerCgroup) -> Usage | None:
    """None when the container has ended, or its files may not be read."""
    try:
        return _unified(group) if group.unified else _legacy(group)
    except (OSError, ValueError, KeyError):
        return None


def _unified(group: ContainerCgroup) -> Usage:
    memory = _fields(group.memory / "memory.stat")
    limit = (group.memory / "memory.max").read_text().strip()
    return Usage(
        at=time.monotonic(),
        cpu_s=_fields(group.cpu / "cpu.stat")["usage_usec"] / 1e6,
        memory_bytes=_number(group.memory / "memory.current") - memory.get("inactive_file", 0),
        limit_bytes=None if limit == "max" else int(limit),
        peak_bytes=_peak(group.memory / "memory.peak"),
    )


def _legacy(group: ContainerCgroup) -> Usage:
    memory = _fields(group.memory / "memory.stat")
    limit = _number(group.memory / "memory.limit_in_bytes")
    return Usage(
        at=time.monotonic(),
        cpu_s=_number(group.cpu / "cpuacct.usage") / 1e9,
        memory_bytes=_number(group.memory / "memory.usage_in_bytes") - memory.get("total_inactive_file", 0),
        limit_bytes=None if limit >= NO_LIMIT_BYTES else limit,
        peak_bytes=_peak(group.memory / "memory.max_usage_in_bytes"),
    )


def mounts(mountinfo: Path) -> dict[str, tuple[str, str]]:
    """(root, mount point) by controller; of version 2 under "". Raises OSError."""
    found: dict[str, tuple[str, str]] = {}
    for line in mountinfo.read_text().splitlines():
        before, _, after = line.partition(" - ")
        root, place = before.split()[3:5]
        kind, _, options = after.split(" ", 2)
        if kind == "cgroup2":
            found.setdefault("", (root, place))
        elif kind == "cgroup":
            for name in options.split(" ")[-1].split(","):
                found.setdefault(name, (root, place))
    return found


def _below(mount: tuple[str, str], path: str) -> Path:
    root, place = mount
    inside = path.removeprefix(root) if root != "/" else path  # gitship may be in a container or a namespace itself
    return Path(place) / inside.lstrip("/")


def _peak(file: Path) -> int | None:
    """Linux has it since 5.19 in version 2."""
    try:
        return _number(file)
    except OSError:
        return None


def _number(file: Path) -> int:
    return int(file.read_text())


def _fields(file: Path) -> Mapping[str, int]:
    return {name: int(value) for name, _, value in (line.partition(" ") for line in file.read_text().splitlines())}
