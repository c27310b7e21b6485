"""Formats the figures of apps and the server for the pages."""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gitship.model import App
from gitship.model.traffic import Traffic, together
from gitship.observe.traffic import StoredStats

RECENT_S = 600.0
COVERED_SHARE = 0.01  # of all requests; fewer are those that come while a page is fetched anew
SPARK_POINTS = 29  # of two minutes, all within the last hour: an app is 400 bytes of an overview that holds 100
SPARK_S = 120
SPARK_HIGH, SPARK_STEP = 18, 2  # pixels: without a viewBox an <svg> is 60 bytes shorter
REREAD_S = 0.2  # between two readings of the processors, when the last is too long ago to say "now"
STALE_READING_S = 60.0


@dataclass(frozen=True, slots=True)
class Visits:
    """Of the last ten minutes. The four drawings are SVG paths of the last hour."""

    requests_per_s: float
    hit_ratio: float | None
    stale: int
    errors_per_s: float
    p95_s: float | None
    requests_path: str
    hits_path: str
    errors_path: str
    p95_path: str

    @property
    def stale_per_s(self) -> float:
        return self.stale / RECENT_S

    @property
    def covered(self) -> bool:
        """True when old pages of the cache answer so many that one should know."""
        return self.stale_per_s >= COVERED_SHARE * self.requests_per_s > 0


@dataclass(frozen=True, slots=True)
class Machine:
    """The server: load of the last minute, and bytes."""

    load: float
    processors: int
    memory_bytes: int
    memory_free_bytes: int
    disk_bytes: int
    disk_free_bytes: int

    @property
    def memory_used(self) -> float:
        """A share, as ``disk_used`` and ``load_share``, of which 1 is that every processor has work."""
        return 1 - self.memory_free_bytes / self.memory_bytes if self.memory_bytes else 0.0

    @property
    def disk_used(self) -> float:
        return 1 - self.disk_free_bytes / self.disk_bytes if self.disk_bytes else 0.0

    @property
    def load_share(self) -> float:
        return self.load / self.processors


class Processor:
    """How busy the server's processors are between two looks. Safe from any thread."""

    def __init__(self, read: Callable[[], tuple[float, float]] | None = None) -> None:
        self._read = read or _processor_times
        self._lock = threading.Lock()
        self._before: tuple[float, float] | None = None
        self._read_at = 0.0

    def percent(self) -> float | None:
        """Of all of them together; may take REREAD_S. None where the system does not tell."""
        with self._lock:
            try:
                if self._before is None or time.monotonic() - self._read_at > STALE_READING_S:
                    self._before = self._read()
                    time.sleep(REREAD_S)
                (busy_before, all_before), now = self._before, self._read()
            except OSError:
                return None
            self._before, self._read_at = now, time.monotonic()
            passed = now[1] - all_before
            return round(100 * (now[0] - busy_before) / passed, 1) if passed > 0 else 0.0


def visits(stats: StoredStats, app: App) -> Visits | None:
    """None when nobody has come within the hour. Not for an event loop: it adds up a hundred spans."""
    now = time.time()
    length = SPARK_S * SPARK_POINTS
    begin = now // 60 * 60 - length  # the minute that is not over would look like a fall
    spans = stats.history(app, 3600)
    if not spans:
        return None
    points = [Traffic() for _ in range(SPARK_POINTS)]
    for span in spans:
        if 0 <= (number := int((span.start - begin) // SPARK_S)) < SPARK_POINTS:
            points[number].add(span.traffic)
    recent = together(s.traffic for s in spans if s.start >= now - RECENT_S)
    return Visits(
        requests_per_s=recent.requests / RECENT_S,
        hit_ratio=recent.hit_ratio,
        stale=recent.stale,
        errors_per_s=recent.errors / RECENT_S,
        p95_s=recent.percentile(0.95),
        requests_path=spark([p.requests for p in points]),
        hits_path=spark([p.hit_ratio for p in points], most=1.0),
        errors_path=spark([p.errors for p in points]),
        p95_path=spark([p.percentile(0.95) for p in points]),
    )


def spark(values: Sequence[float | None], most: float = 0.0) -> str:
    """An SVG path in whole pixels; ``most``, else the largest value, is SPARK_HIGH high; no value is a gap.

    It is written as short as can be: relative, level stretches as one, a letter once for all that follow it.
    """
    top = max([most, *(v for v in values if v is not None)]) or 1.0
    path, letter, before, level = "", "", None, 0
    for x, value in enumerate(values):
        y = None if value is None else round(SPARK_HIGH * (1 - value / top))
        if level and (y is None or y != before):
            path, letter, level = f"{path}h{level}", "h", 0
        if y is None:
            letter = ""
        elif before is None:
            path, letter = f"{path}M{x * SPARK_STEP} {y}", "M"
        elif y == before:
            level += SPARK_STEP
        else:
            path, letter = path + (" " if letter == "l" else "l") + f"{SPARK_STEP} {y - before}", "l"
        before = y
    path += f"h{level}" if level else ""
    return re.sub(r"(M\d+ \d+)(?=M|$)", r"\1h0", path).replace(" -", "-")  # a value that stands alone is a dot


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


def _processor_times() -> tuple[float, float]:
    """Busy, and all (in the kernel's ticks), since the system started; proc_stat(5)."""
    fields = [float(word) for word in Path("/proc/stat").read_text().partition("\n")[0].split()[1:9]]
    idle = fields[3] + fields[4]  # idle, and waiting for a disk
    return sum(fields) - idle, sum(fields)
