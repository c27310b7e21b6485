"""Figures of the limits of a push; ``ingest_git`` and ``pack_stream`` enforce the size of a pack."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReceiveLimits:
    """Bytes and seconds; the defaults let git.git's own history (304 MiB, 48 s of CPU) through with room to spare.

    ``memory_bytes`` is the address space of a git child, and what the Dulwich path may hold of one delta chain.
    ``stall_s`` ends a push whose client sends nothing although its pack is not whole.
    """

    max_pack_bytes: int = 1 << 30
    max_refs: int = 10_000
    max_options: int = 100
    memory_bytes: int = 4 << 30
    cpu_s: int = 900
    ingest_s: float = 3600.0
    stall_s: float = 600.0
    keepalive_s: float = 5.0
    drain_s: float = 30.0


def size(count: int) -> str:
    """``1.5 GiB``, ``10 MiB``, ``300 bytes``."""
    value = float(count)
    for unit in ("bytes", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.4g} {unit}"
        value /= 1024
    return f"{value:.4g} GiB"
