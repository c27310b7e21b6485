"""Format of the server's log, as text or JSON, with ``log_context``."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import TextIO

from gitship import log_context

FORMATS = ("text", "json")
# Libraries that log every request of theirs; with --verbose one wants to see gitship.
QUIET = ("urllib3", "docker", "asyncio", "tornado.access", "acme", "dulwich")


class TextFormatter(logging.Formatter):
    """``2026-01-02 03:04:05,678 INFO    gitship.deploy: live [app=shop deploy=12 request=1a2b3c4d]``."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = one_line(record.message)
        fields = log_context.current()
        known = f" [{' '.join(f'{name}={one_line(str(value))}' for name, value in fields.items())}]" if fields else ""
        return super().formatMessage(record) + known


class JsonFormatter(logging.Formatter):
    """One object a line: ``at`` (ISO 8601, UTC), ``level``, ``logger``, ``message``, the fields, ``exception``."""

    def format(self, record: logging.LogRecord) -> str:
        row: dict[str, str | int] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **log_context.current(),
        }
        if record.exc_info:
            row["exception"] = self.formatException(record.exc_info)
        return json.dumps(row, ensure_ascii=False)


def one_line(text: str) -> str:
    """What came from outside must not look like a line of its own, nor rule the terminal that shows the log."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def configure(format: str, *, verbose: bool, stream: TextIO) -> None:
    """Everything that is logged from now on goes there."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if format == "json" else TextFormatter())
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler], force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.WARNING)
