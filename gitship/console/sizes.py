"""Formats sizes as they are typed: ``512m``, ``2g``."""

from __future__ import annotations

from gitship.console.listing import NOTHING
from gitship.schema import written_size


def shown_memory(count: int | None) -> str:
    return NOTHING if count is None else written_size(count)
