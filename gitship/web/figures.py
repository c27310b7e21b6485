"""The figures that the pages show of apps and of the server, in the form in which they show them."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from gitship.deploy.stats import Stats
from gitship.model import App
from gitship.traffic import together

HOUR_MINUTES = 60
RECENT_S = 600.0


@dataclass(frozen=True, slots=True)
class Visits:
    """Of the last ten minutes; ``hour`` is requests per second, minute by minute, oldest first.

    ``stale_per_s`` are answers from the cache that were past their time: the app was just being asked, or is failing.
    """

    requests_per_s: float
    hit_ratio: float | None
    errors_per_s: float
    stale_per_s: float
    p95_s: float | None
    hour: tuple[float, ...]

    @property
    def line(self) -> str:
        """The hour as the points of a drawing 59 wide and 24 high, which it fills; whole numbers, for the weight."""
        most = max(self.hour) or 1.0
        return " ".join(f"{x},{round(24 * (1 - y / most))}" for x, y in enumerate(self.hour))


@dataclass(frozen=True, slots=True)
class Machine:
    """The server: load of the last minute, and bytes."""

    load: float
    processors: int
    memory_bytes: int
    memory_free_bytes: int
    disk_bytes: int
    disk_free_bytes: int


def visits(stats: Stats, app: App) -> Visits | None:
    """None when nobody has come within the hour. Not for an event loop: it adds up a hundred spans."""
    now = time.time()
    begin = now // 60 * 60 - 60 * HOUR_MINUTES  # the minute that is not over would look like a fall
    spans = stats.history(app, 60 * HOUR_MINUTES)
    if not spans:
        return None
    hour = [0.0] * HOUR_MINUTES
    for span in spans:
        if 0 <= (minute := int((span.start - begin) // 60)) < HOUR_MINUTES:
            hour[minute] += span.traffic.requests / 60
    recent = together(s.traffic for s in spans if s.start >= now - RECENT_S)
    return Visits(
        requests_per_s=recent.requests / RECENT_S,
        hit_ratio=recent.hit_ratio,
        errors_per_s=recent.errors / RECENT_S,
        stale_per_s=recent.stale / RECENT_S,
        p95_s=recent.percentile(0.95),
        hour=tuple(hour),
    )


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
