"""Checks the machine: disk, memory, clock, programs."""

from __future__ import annotations

import ctypes
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from gitship.config import Settings
from gitship.doctor.report import Finding, Look, fail, ok, warn

LOW_DISK_BYTES = 1 << 30
LOW_MEMORY_BYTES = 512 << 20
BUILD_YEAR = 2025  # a clock before it is wrong for sure
TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
TIMEX_BYTES = 208  # struct timex on 64 bits; all zeros: nothing is changed


def disk(settings: Settings) -> Iterator[Finding]:
    """Where the database, repositories and logs are; Docker's own disk is looked at with Docker."""
    place = next(p for p in (settings.data_dir, *settings.data_dir.parents) if p.exists())
    free = shutil.disk_usage(place).free
    fix = "`server:cleanup --dry-run` shows what gitship can remove; `journalctl --vacuum-size=100M`"
    if free < settings.disk.min_free:
        yield fail("disk", f"{free >> 20} MB free at {place}: pushes are refused, rollbacks work", fix)
    elif free < LOW_DISK_BYTES:
        yield warn("disk", f"{free >> 20} MB free at {place}", fix)
    else:
        yield ok("disk", f"{free / (1 << 30):.1f} GB free at {place}")


def memory(settings: Settings) -> Iterator[Finding]:
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    total, free = (int(fields[name].split()[0]) << 10 for name in ("MemTotal", "MemAvailable"))
    text = f"{free >> 20} of {total >> 20} MB available, {settings.varnish.cache_bytes >> 20} MB of them for the cache"
    if settings.varnish.cache_bytes > total // 2:
        yield warn("memory", text, "set a smaller [varnish] memory")
    elif free < LOW_MEMORY_BYTES:
        yield warn("memory", text, "a build may need more: add swap, or limit apps with `resources:limit`")
    else:
        yield ok("memory", text)


def clock(settings: Settings) -> Iterator[Finding]:
    if time.gmtime().tm_year < BUILD_YEAR:
        yield fail("clock", f"it shows the year {time.gmtime().tm_year}", "set it: timedatectl set-ntp true")
        return
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(TIMEX_BYTES))
    if state == TIME_ERROR:
        yield warn("clock", "not synchronised with a time server", "timedatectl set-ntp true, or install chrony")
    else:
        yield ok("clock", "synchronised" if state >= 0 else "set")


def programs(settings: Settings) -> Iterator[Finding]:
    if shutil.which("git") is None:
        yield warn("git", "not installed: large pushes are received more slowly", "apt-get install git")
    else:
        yield ok("git", "installed")
    if os.geteuid() != 0:
        yield warn("user", "not root: ports below 1024 are out of reach", "run gitship as root")


LOOKS: tuple[tuple[str, Look], ...] = (("disk", disk), ("memory", memory), ("clock", clock), ("git", programs))
