"""Styles of push output lines."""

from __future__ import annotations

from gitship.deploy.output import RAW, is_raw

LOOKS = ("plain", "headline", "result", "error", "raw")  # CSS classes, and the event names of a stream


def look(line: str) -> str:
    """One of LOOKS."""
    if line.startswith("-----> "):
        return "headline"
    if line.startswith("=====> "):
        return "result"
    if line.startswith(" !  "):
        return "error"
    return "raw" if is_raw(line) else "plain"


def shown(line: str) -> str:
    """The line without the mark that its look makes needless."""
    return line.removeprefix(RAW)
