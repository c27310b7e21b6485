"""Parser of sizes: ``512m``, ``2g``."""

from __future__ import annotations

from gitship.console.listing import NOTHING


def shown_memory(count: int | None) -> str:
    """As it is typed: ``512m``, ``2g``, else bytes."""
    if count is None:
        return NOTHING
    for unit, shift in (("g", 30), ("m", 20), ("k", 10)):
        if count and count % (1 << shift) == 0:
            return f"{count >> shift}{unit}"
    return str(count)
