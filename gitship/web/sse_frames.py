"""Encodes log lines as server-sent events (HTML standard, section 9.2)."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from gitship.web import ansi
from gitship.web.deploy_log_file import LogFile, Position
from gitship.web.push_line import look, shown

KEPT = 64  # each up to about 80 kB


class Frames:
    """Keeps the pieces read last: of many viewers of one deploy, one reads and encodes. Used on the event loop only."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[Path, int], tuple[bytes, Position]] = OrderedDict()

    def after(self, file: LogFile, at: Position, whole: bool) -> tuple[bytes, Position]:
        """The events after ``at``, as many as one read gives, and where they end; b"" when there are none yet."""
        key = (file.path, at.offset)
        if kept := self._kept.get(key):
            return kept  # perhaps fewer lines than there are by now; the next call gives the others
        lines, end = file.read(at, whole)
        frame = b"".join(line_event(number, line) for number, line in enumerate(lines, at.line + 1))
        if frame and not whole:
            self._kept[key] = frame, end
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return frame, end


def line_event(number: int, line: str) -> bytes:
    """``line`` has no line break: logfile.clean took it out. It arrives as HTML, escaped here."""
    return f"id: {number}\nevent: {look(line)}\ndata: {ansi.html(shown(line))}\n\n".encode()
