"""Encodes positions in the logs of an app's containers, for resuming streams.

A position is (time, how many lines of that time so far) per container. It follows from Docker's own log, so it outlives
a restart of the server. Lines of stdout and stderr may stand there a little out of order, so times never go back here.
"""

from __future__ import annotations

from collections.abc import Mapping

from gitship.engine.types import LogLine

Position = tuple[float, int]
Positions = Mapping[str, Position]  # by container's name

BEGIN: Position = (0.0, 0)
MARGIN_S = 1.0  # read from so much earlier, to count lines of one instant anew
MOST_CONTAINERS = 200


class Chain:
    """Gives the lines of a log, in its order, their positions."""

    def __init__(self) -> None:
        self.newest: dict[str, Position] = {}

    def position(self, line: LogLine) -> Position:
        at, count = self.newest.get(line.container, BEGIN)
        found = (line.at, 1) if line.at > at else (at, count + 1)
        self.newest[line.container] = found
        return found


def encode(positions: Positions) -> str:
    """As an event's id."""
    return ",".join(f"{name}~{at!r}~{count}" for name, (at, count) in positions.items())


def decode(text: str) -> dict[str, Position]:
    """Raises ValueError; the names are the client's word and only ever compared."""
    parts = [part.split("~") for part in text.split(",") if part]
    if len(parts) > MOST_CONTAINERS or any(len(part) != 3 for part in parts):
        raise ValueError("not a position in a log")
    found = {name: (float(at), int(count)) for name, at, count in parts}
    if not all(0 <= at < 1e11 for at, _ in found.values()):
        raise ValueError("not a position in a log")
    return found
