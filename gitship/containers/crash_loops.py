"""Detects crash loops: containers that crashed several times within minutes. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from gitship.model import ContainerEvent, ContainerEventKind

CRASHES = 3
WITHIN_S = 180.0  # at Docker's longest pause of a minute a loop has so many crashes in it
PEACE_S = 300.0  # after so long without a crash the next loop is news again


def told_now(events: Sequence[ContainerEvent], at: float) -> str:
    """The loop in words when the crash at ``at`` makes it one, else "". ``events`` are one container's, that included.

    All times are epoch seconds.
    """
    crashes = [e.at for e in events if e.exit_code is not None and at - WITHIN_S <= e.at <= at]
    if len(crashes) < CRASHES:
        return ""
    loops = [e.at for e in events if e.kind is ContainerEventKind.CRASH_LOOP and e.at <= at]
    if loops and _no_peace(events, loops[-1], at):
        return ""
    took = max(1, round(at - crashes[0]))
    return f"crashed {len(crashes)} times within {took} s; it is restarted after increasing delays, up to 60 s"


def is_looping(events: Sequence[ContainerEvent], now: float) -> bool:
    """True from when the loop was told until it has had a while of peace."""
    loops = [e.at for e in events if e.kind is ContainerEventKind.CRASH_LOOP]
    crashes = [e.at for e in events if e.exit_code is not None]
    return (
        bool(loops and crashes) and abs(now - crashes[-1]) < WITHIN_S / 2 and _no_peace(events, loops[-1], crashes[-1])
    )


def _no_peace(events: Sequence[ContainerEvent], since: float, until: float) -> bool:
    """No PEACE_S without a crash between the two."""
    times = [since, *(e.at for e in events if e.exit_code is not None and since < e.at <= until), until]
    return all(later - earlier < PEACE_S for earlier, later in itertools.pairwise(times))
