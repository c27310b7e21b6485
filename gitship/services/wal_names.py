"""Names of WAL files, as PostgreSQL gives them to segments of 16 MB, and their keys at a target. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gitship.backup.targets import WAL

SEGMENT = re.compile(r"[0-9A-F]{24}")
FILE = re.compile(r"[0-9A-F]{24}|[0-9A-F]{8}\.history")
_IN_A_LOG = 0x100  # segments of 16 MB in what the middle of the name counts


def following(segment: str) -> str:
    """The name of the next segment of the same timeline."""
    number = int(segment[8:16], 16) * _IN_A_LOG + int(segment[16:], 16) + 1
    return f"{segment[:8]}{number // _IN_A_LOG:08X}{number % _IN_A_LOG:08X}"


def before(first: str, end: str) -> Iterator[str]:
    """The segments from ``first`` to the one before ``end``; none when a name is empty."""
    while first and first < end:
        yield first
        first = following(first)


def key(folder: str, name: str) -> str:
    """Where the file lies; at most 256 segments side by side, as each upload lists its directory."""
    return f"{folder}/{name[:22]}/{name}{WAL}"
