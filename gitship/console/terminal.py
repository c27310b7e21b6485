"""Terminal output of a session: colour, tables and width on a terminal, plain text elsewhere."""

from __future__ import annotations

import threading
from typing import TextIO, cast

from rich.console import Console

from gitship.console.session import OutputStream, Pty, Session

FALLBACK_COLUMNS = 80
FALLBACK_ROWS = 24
LEAST_COLUMNS = 20  # a client may claim a window of 0 or 1 columns


class ClientGone(Exception):
    """The client does not read any more.

    Not an OSError on purpose: on BrokenPipeError Rich would redirect the whole daemon's stdout to /dev/null and exit.
    """


class ChannelText:
    """The text file that Rich writes to: UTF-8, and CRLF on a terminal since the client's terminal is in raw mode."""

    encoding = "utf-8"

    def __init__(self, stream: OutputStream, terminal: bool, closed: threading.Event) -> None:
        self._stream = stream
        self._terminal = terminal
        self._closed = closed

    def write(self, text: str) -> int:
        """Raises ClientGone, and sets the session's ``closed``, when the client has gone."""
        if self._terminal:
            text = text.replace("\r\n", "\n").replace("\n", "\r\n")
        return self._guarded(text.encode("utf-8", "replace"))

    def _guarded(self, data: bytes) -> int:
        try:
            return self._stream.write(data) if data else 0
        except OSError as error:
            self._closed.set()
            raise ClientGone from error

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._closed.set()
            raise ClientGone from error

    def isatty(self) -> bool:
        return self._terminal


def _colours(pty: Pty) -> str | None:
    if pty.term in ("", "dumb", "unknown"):
        return None
    return "256" if "256color" in pty.term or "direct" in pty.term else "standard"


def _console(session: Session, stream: OutputStream) -> Console:
    pty = session.pty
    return Console(
        file=cast(TextIO, ChannelText(stream, pty is not None, session.closed)),
        force_terminal=pty is not None,
        force_jupyter=False,
        force_interactive=False,
        color_system=_colours(pty) if pty else None,  # type: ignore[arg-type]
        width=max(pty.columns or FALLBACK_COLUMNS, LEAST_COLUMNS) if pty else FALLBACK_COLUMNS,
        height=(pty.rows or FALLBACK_ROWS) if pty else FALLBACK_ROWS,
        markup=False,  # what users typed is never markup
        highlight=False,
        emoji=False,
        legacy_windows=False,
        _environ={"TERM": pty.term if pty else "dumb"},  # never the daemon's own environment
    )


def consoles(session: Session) -> tuple[Console, Console]:
    """Consoles for the session's stdout and stderr, which follow its window's size."""
    out, errors = _console(session, session.stdout), _console(session, session.stderr)
    if session.pty:

        def resized(columns: int, rows: int) -> None:
            for console in (out, errors):
                console.width = max(columns, LEAST_COLUMNS)
                console.height = max(rows, 1)

        session.pty.resized = resized
    return out, errors
