"""Parent cgroup of all BuildKit builds and its limits; cgroup versions 1 and 2.

Nothing is written that is so already: root sets the limits before a gitship starts that may only read them.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
PERIOD_US = 100_000
SHARES, WEIGHT = 1024, 100  # of a container, by version 1 and 2
PAGE_BYTES = 4096  # the kernel keeps whole pages
UNLIMITED = 1 << 62  # what version 1 reads where -1 was written is the largest number of whole pages


def apply(parent: str, memory_bytes: int, cpus: float, root: Path = ROOT) -> None:
    """Brings ``<parent>/buildkit`` to these limits; 0 is none. Raises OSError when that cannot be done."""
    path = below(parent)
    if (root / "cgroup.controllers").exists():
        _apply_v2(root, path, memory_bytes, cpus)
    else:
        _apply_v1(root, path, memory_bytes, cpus)


def limit_processes(parent: str, pids: int, root: Path = ROOT) -> None:
    """Most processes and threads of all builds together; 0 is no limit. Raises OSError when that cannot be done."""
    path, wanted = below(parent), str(pids or "max")
    version_2 = (root / "cgroup.controllers").exists()
    directory = root / path if version_2 else root / "pids" / path
    if not _there(directory, pids):
        return
    if version_2 and pids:
        _enable(root, path, "pids")
    _write(directory / "pids.max", wanted, needed=bool(pids))


def yield_to_apps(parent: str, share: float, root: Path = ROOT) -> None:
    """All builds together get ``share`` of a container's processor time when both want it. Raises OSError."""
    path, wanted = below(parent), share < 1
    version_2 = (root / "cgroup.controllers").exists()
    directory = root / path if version_2 else root / "cpu" / path
    if not _there(directory, wanted):
        return
    if version_2:
        if wanted:
            _enable(root, path, "cpu")
        _write(directory / "cpu.weight", str(weight(share)), needed=wanted)
    else:
        _write(directory / "cpu.shares", str(_shares(share)), needed=True)


def below(parent: str) -> str:
    """Where BuildKit puts its steps with the cgroupfs driver; ``parent`` is Docker's."""
    return f"{parent.strip('/')}/buildkit"


def holds(path: str, memory_bytes: int, cpus: float, pids: int, share: float, root: Path = ROOT) -> bool:
    """True when a cgroup has all the limits that are wanted."""
    quota, memory = _quota(cpus), _pages(memory_bytes)
    if (root / "cgroup.controllers").exists():
        processor = weight(share) if share < 1 else 0
        wanted = {"memory.max": memory, "cpu.max": quota and f"{quota} {PERIOD_US}", "pids.max": pids}
        files = {root / path / name: value for name, value in {**wanted, "cpu.weight": processor}.items()}
    else:
        files = {
            root / "memory" / path / "memory.limit_in_bytes": memory,
            root / "cpu" / path / "cpu.cfs_quota_us": quota,
            root / "pids" / path / "pids.max": pids,
            root / "cpu" / path / "cpu.shares": _shares(share) if share < 1 else 0,
        }
    return all(_says(file, str(value)) for file, value in files.items() if value)


def _apply_v1(root: Path, path: str, memory_bytes: int, cpus: float) -> None:
    memory, cpu = root / "memory" / path, root / "cpu" / path
    if _there(memory, memory_bytes):
        wanted = str(_pages(memory_bytes) or -1)
        limit, with_swap = memory / "memory.limit_in_bytes", memory / "memory.memsw.limit_in_bytes"
        if not _says(limit, wanted):
            _write(with_swap, "-1")  # it may never be below the other
            limit.write_text(wanted)
        _write(with_swap, wanted)
    if _there(cpu, cpus):
        _write(cpu / "cpu.cfs_period_us", str(PERIOD_US), needed=True)
        _write(cpu / "cpu.cfs_quota_us", str(_quota(cpus) or -1), needed=True)


def _apply_v2(root: Path, path: str, memory_bytes: int, cpus: float) -> None:
    directory, wanted = root / path, memory_bytes or cpus
    if not _there(directory, wanted):
        return
    if wanted:
        _enable(root, path, "memory", "cpu")
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
    if (needed or file.exists()) and not _says(file, value):
        file.write_text(value)


def _says(file: Path, value: str) -> bool:
    try:
        said = file.read_text().strip()
    except OSError:
        return False
    return said == value or (value == "-1" and said.isdigit() and int(said) >= UNLIMITED)


def _enable(root: Path, path: str, *controllers: str) -> None:
    """In every cgroup above ``path``, as version 2 wants it."""
    for above in reversed(Path(path).parents):
        file = root / above / "cgroup.subtree_control"
        if not (file.exists() and set(file.read_text().split()) >= set(controllers)):
            file.write_text(" ".join(f"+{name}" for name in controllers))


def _pages(count: int) -> int:
    return count - count % PAGE_BYTES


def _shares(share: float) -> int:
    return max(2, round(share * SHARES))


def weight(share: float) -> int:
    """``cpu.weight`` of version 2."""
    return max(1, round(share * WEIGHT))


def _quota(cpus: float) -> int:
    """Microseconds per period."""
    return round(cpus * PERIOD_US)
