"""Sizes of Varnish's cache, log and thread pools, from the machine's memory."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

SMALL_BYTES = 2 << 30  # a machine with less is a small one
CACHE_SHARE = 8  # the cache has an eighth of the memory ...
CACHE_BYTES = (32 << 20, 256 << 20)  # ... and no less and no more than this
# Varnish's log is memory that it and its reader share, all of it in use after a minute of load. The reader is at most
# 0.1 s behind; 16 MB hold a second at 6,500 requests/s.
LOG_BYTES = {True: 16 << 20, False: 32 << 20}
THREADS = {True: 50, False: 100}  # that wait for visitors in each of two pools; 100 is Varnish's default
# A container may be limited to less than the machine has: version 2, then version 1.
LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def memory_bytes() -> int:
    """What this machine, or the container that gitship runs in, may use."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for file in LIMITS:
        with suppress(OSError, ValueError):  # "max" is no limit
            total = min(total, int(file.read_text()))
    return total


def cache_bytes(total: int) -> int:
    """The size of Varnish's cache on a machine with ``total`` bytes."""
    least, most = CACHE_BYTES
    return min(max(total // CACHE_SHARE, least), most)


def front_parameters(total: int) -> dict[str, str]:
    """Varnish's parameters that follow from ``total`` bytes of memory."""
    small = total < SMALL_BYTES
    return {"vsl_space": str(LOG_BYTES[small]), "thread_pool_min": str(THREADS[small])}
