"""The cgroup below which BuildKit runs every step of every build, and its limits; cgroups of version 1 and 2."""

from __future__ import annotations

from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
PERIOD_US = 100_000
SHARES, WEIGHT = 1024, 100  # of a container, by version 1 and 2
PAGE_BYTES = 4096  # the kernel keeps whole pages


def apply(parent: str, memory_bytes: int, cpus: float, root: Path = ROOT) -> None:
    """Brings ``<parent>/buildkit`` to these limits; 0 is none. Raises OSError when that cannot be done."""
    path = f"{parent.strip('/')}/buildkit"
    if (root / "cgroup.controllers").exists():
        _apply_v2(root, path, memory_bytes, cpus)
    else:
        _apply_v1(root, path, memory_bytes, cpus)


def limit_processes(parent: str, pids: int, root: Path = ROOT) -> None:
    """Most processes and threads of all builds together; 0 is no limit. Raises OSError when that cannot be done."""
    path, wanted = f"{parent.strip('/')}/buildkit", str(pids or "max")
    version_2 = (root / "cgroup.controllers").exists()
    directory = root / path if version_2 else root / "pids" / path
    if not _there(directory, pids):
        return
    if version_2 and pids:
        for above in reversed(Path(path).parents):
            (root / above / "cgroup.subtree_control").write_text("+pids")
    _write(directory / "pids.max", wanted, needed=bool(pids))


def yield_to_apps(parent: str, share: float, root: Path = ROOT) -> None:
    """All builds together get ``share`` of a container's processor time when both want it. Raises OSError."""
    path, wanted = f"{parent.strip('/')}/buildkit", share < 1
    version_2 = (root / "cgroup.controllers").exists()
    directory = root / path if version_2 else root / "cpu" / path
    if not _there(directory, wanted):
        return
    if version_2:
        for above in reversed(Path(path).parents) if wanted else ():
            (root / above / "cgroup.subtree_control").write_text("+cpu")
        _write(directory / "cpu.weight", str(max(1, round(share * WEIGHT))), needed=wanted)
    else:
        (directory / "cpu.shares").write_text(str(max(2, round(share * SHARES))))


def _apply_v1(root: Path, path: str, memory_bytes: int, cpus: float) -> None:
    memory, cpu = root / "memory" / path, root / "cpu" / path
    if _there(memory, memory_bytes):
        wanted = str(_pages(memory_bytes) or -1)
        _write(memory / "memory.memsw.limit_in_bytes", "-1")  # it may never be below the other
        (memory / "memory.limit_in_bytes").write_text(wanted)
        _write(memory / "memory.memsw.limit_in_bytes", wanted)
    if _there(cpu, cpus):
        (cpu / "cpu.cfs_period_us").write_text(str(PERIOD_US))
        (cpu / "cpu.cfs_quota_us").write_text(str(_quota(cpus) or -1))


def _apply_v2(root: Path, path: str, memory_bytes: int, cpus: float) -> None:
    directory, wanted = root / path, memory_bytes or cpus
    if not _there(directory, wanted):
        return
    above = [root / parent for parent in reversed(Path(path).parents)]
    for parent in above if wanted else ():
        (parent / "cgroup.subtree_control").write_text("+memory +cpu")
    memory, quota = _pages(memory_bytes), _quota(cpus)
    _write(directory / "memory.swap.max", "0" if memory else "max")
    _write(directory / "memory.max", str(memory or "max"), needed=bool(memory))
    _write(directory / "cpu.max", f"{quota or 'max'} {PERIOD_US}", needed=bool(quota))


def _there(directory: Path, wanted: float) -> bool:
    """Makes the cgroup when there is something to limit; without, only one that is there has to be set free."""
    if wanted:
        directory.mkdir(parents=True, exist_ok=True)
    return directory.is_dir()


def _write(file: Path, value: str, *, needed: bool = False) -> None:
    """A file that is not there is passed over unless needed: not every kernel counts swap."""
    if needed or file.exists():
        file.write_text(value)


def _pages(count: int) -> int:
    return count - count % PAGE_BYTES


def _quota(cpus: float) -> int:
    """Microseconds per period."""
    return round(cpus * PERIOD_US)
