"""Reads a deploy's log file by line number."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

CHUNK_BYTES = 64 << 10  # what one read on the event loop takes at most, but for a longer single line
SCAN_BYTES = 1 << 20
LINE_CHARS = 4000  # of a line; what a page shows of a minified file that a build prints

_ALL = 1 << 62


@dataclass(frozen=True, slots=True)
class Position:
    """After ``line`` whole lines, ``offset`` bytes into the file."""

    line: int = 0
    offset: int = 0


def clean(raw: bytes) -> str:
    """A line as text, without its line end; of a redrawn progress bar its last state. Escape sequences are in it."""
    text = raw.decode("utf-8", "replace").rstrip("\r\n").rpartition("\r")[2]
    return text if len(text) <= LINE_CHARS else text[:LINE_CHARS] + " …"


class LogFile:
    """A file that is not there (yet, or any more) has no lines."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, at: Position, whole: bool = False) -> tuple[list[str], Position]:
        """Lines after ``at``, about CHUNK_BYTES of them, and where they end; none when there are none yet.

        A last line without its line end is still being written, so it waits, unless ``whole`` (writing is over).
        """
        lines: list[str] = []
        line, offset = at.line, at.offset
        try:
            with self.path.open("rb") as file:
                file.seek(offset)
                while offset - at.offset < CHUNK_BYTES and (raw := file.readline()):
                    if not raw.endswith(b"\n") and not whole:
                        break
                    lines.append(clean(raw))
                    line, offset = line + 1, offset + len(raw)
        except FileNotFoundError:
            pass
        return lines, Position(line, offset)

    def block(self, offset: int) -> bytes:
        """Up to SCAN_BYTES of the file as it is; empty at the end."""
        try:
            with self.path.open("rb") as file:
                file.seek(offset)
                return file.read(SCAN_BYTES)
        except FileNotFoundError:
            return b""

    def position(self, line: int) -> Position:
        """Where ``line`` lines end; the end of the last whole line when there are fewer. Reads the file up to there."""
        try:
            with self.path.open("rb") as file:
                return _scan(file, line)
        except FileNotFoundError:
            return Position()

    def tail(self, count: int, whole: bool = False) -> tuple[Position, list[str], Position]:
        """The last ``count`` lines, where they begin and where they end. Reads the file twice, 1 MiB at a time."""
        begin = at = self.position(max(0, self.position(_ALL).line - count))
        lines: list[str] = []
        while True:
            more, at = self.read(at, whole)
            if not more:
                return begin, lines, at
            lines += more


def _scan(file: BinaryIO, wanted: int) -> Position:
    line, offset, last_end = 0, 0, 0
    while line < wanted and (block := file.read(SCAN_BYTES)):
        found = block.count(b"\n")
        if line + found >= wanted:
            end = -1
            for _ in range(wanted - line):
                end = block.index(b"\n", end + 1)
            return Position(wanted, offset + end + 1)
        if found:
            last_end = offset + block.rindex(b"\n") + 1
        line, offset = line + found, offset + len(block)
    return Position(line, last_end)
