"""Where figures that others measure come in: each is None, and shown as nothing, until somebody measures it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from gitship.model import App, Container


@dataclass(frozen=True, slots=True)
class Traffic:
    """Of the last minute; ``hour`` is requests per second, minute by minute, oldest first. ``p95_s`` in seconds."""

    requests_per_s: float
    hit_ratio: float
    errors_per_s: float
    p95_s: float
    hour: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """What a container uses now."""

    cpus: float
    memory_bytes: int
    restarts: int


@dataclass(frozen=True, slots=True)
class Machine:
    """The server: load of the last minute, and bytes."""

    load: float
    processors: int
    memory_bytes: int
    memory_free_bytes: int
    disk_bytes: int
    disk_free_bytes: int


def traffic(app: App) -> Traffic | None:
    """What Varnish answers for the app. Nobody counts yet."""
    return None


def usage(container: Container) -> Usage | None:
    """What a container uses. Nobody measures yet."""
    return None


def certificate_days(domain: str) -> float | None:
    """Until the domain's certificate ends. There are no certificates yet."""
    return None


def machine(data_dir: Path) -> Machine:
    """The server as it is now; under a millisecond."""
    memory = {name: int(words.split()[0]) << 10 for name, words in _meminfo()}
    disk = shutil.disk_usage(data_dir)
    return Machine(
        load=os.getloadavg()[0],
        processors=os.cpu_count() or 1,
        memory_bytes=memory.get("MemTotal", 0),
        memory_free_bytes=memory.get("MemAvailable", 0),
        disk_bytes=disk.total,
        disk_free_bytes=disk.free,
    )


def _meminfo() -> list[tuple[str, str]]:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return [(name, rest) for name, _, rest in (line.partition(":") for line in lines) if rest.strip()]
