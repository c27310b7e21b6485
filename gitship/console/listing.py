"""Prints listings: a table on a terminal, aligned columns in a pipe, or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from gitship.console.columns import Column
from gitship.console.context import Context
from gitship.console.escapes import printable

Format = Annotated[Literal["table", "json"], Parameter(name="--format", help="a table for people or JSON for scripts")]
GAP = "  "
NOTHING = "-"


def moment(epoch: float | None) -> datetime | None:
    """Seconds since 1970 as a time in UTC, which listings print as ISO 8601."""
    return None if epoch is None else datetime.fromtimestamp(epoch, UTC)


def iso(at: datetime) -> str:
    """``2026-01-31T12:00:00Z``."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def ago(at: datetime, now: datetime | None = None) -> str:
    """``12 s ago``, ``5 min ago``, ``3 h ago``, ``9 days ago``; ``in 3 h`` for what is to come."""
    seconds = int(((now or datetime.now(UTC)) - at).total_seconds())
    text = duration(abs(seconds))
    return f"in {text}" if seconds < 0 else f"{text} ago"


def duration(seconds: int | None) -> str:
    """``12 s``, ``5 min``, ``3 h``, ``9 days``."""
    if seconds is None:
        return NOTHING
    for unit, length, below in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < below:
            return f"{seconds // length} {unit}"
    return f"{seconds // 86_400} days"


def size(count: int | None) -> str:
    """Bytes as people read them: ``84 MB``."""
    if count is None:
        return NOTHING
    amount, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.0f} {unit}"


def growth(count: int | None) -> str:
    """A difference in bytes: ``+2 MB``."""
    return NOTHING if count is None else f"{'-' if count < 0 else '+'}{size(abs(count))}"


def version(number: int | None) -> str:
    """A release's number as people call it: ``v12``."""
    return NOTHING if number is None else f"v{number}"


def to_json(value: Any) -> Any:
    """Times as ISO 8601 UTC, everything else as it is."""
    return iso(value) if isinstance(value, datetime) else value


def print_json(context: Context, document: Any) -> None:
    """One JSON document on stdout."""
    context.line(json.dumps(document, indent=2, ensure_ascii=False))


def print_json_line(context: Context, row: Mapping[str, Any]) -> None:
    """One row of a listing that streams: a JSON object on a line of its own."""
    assert set(row) == {c.key for c in context.command.columns}
    context.line(json.dumps({key: to_json(value) for key, value in row.items()}, ensure_ascii=False))


def show(context: Context, rows: Iterable[Mapping[str, Any]], format: str, *, empty: str) -> None:
    """Prints ``rows``, whose keys are the command's columns; ``empty`` goes to stderr when there are none.

    With `--quiet` a table is its first column, without a title.
    """
    assert not context.command.one, f"{context.command.name} declares one object, not an array"
    columns = context.command.columns
    rows = list(rows)
    for row in rows:
        assert set(row) == {c.key for c in columns}, f"{context.command.name}: {sorted(row)} is not what it declares"
    if format == "json":
        print_json(context, [{c.key: to_json(row[c.key]) for c in columns} for row in rows])
    elif not rows:
        context.note(empty)
    else:
        shown = [c for c in columns if not c.json_only][: 1 if context.quiet else None]
        cells = [[_cell(c, row[c.key], context.terminal) for c in shown] for row in rows]
        if context.quiet:
            for [cell] in cells:
                context.line(cell)
            return
        titles = [c.heading.upper() for c in shown]
        (_print_table if context.terminal else _print_aligned)(context, titles, cells)


def show_one(context: Context, row: Mapping[str, Any], format: str) -> None:
    """Prints one thing: a line for each of the command's columns, or one JSON object."""
    assert context.command.one, f"{context.command.name} declares an array, not one object"
    columns = context.command.columns
    assert set(row) == {c.key for c in columns}, f"{context.command.name}: {sorted(row)} is not what it declares"
    if format == "json":
        print_json(context, {c.key: to_json(row[c.key]) for c in columns})
        return
    shown = [c for c in columns if not c.json_only]
    titles = [c.heading for c in shown]
    width = max(map(len, titles))
    for column, title in zip(shown, titles, strict=True):
        context.line(f"{title:<{width}}{GAP}{_cell(column, row[column.key], context.terminal)}")


def _cell(column: Column, value: Any, terminal: bool) -> str:
    if column.show is not None:
        text = column.show(value)
    elif isinstance(value, datetime):
        text = ago(value) if terminal else iso(value)
    elif isinstance(value, bool):
        text = "yes" if value else "no"
    elif isinstance(value, list | tuple):
        text = ", ".join(map(str, value))
    else:
        text = "" if value is None else str(value)
    return printable(text) or NOTHING


def _print_aligned(context: Context, titles: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    lines = [titles, *cells]
    widths = [max(cell_len(line[i]) for line in lines) for i in range(len(titles))]
    text = "\n".join(
        GAP.join(cell + " " * (width - cell_len(cell)) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
    context.line(text)


def _print_table(context: Context, titles: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for number, title in enumerate(titles):
        table.add_column(title, overflow="fold", style="cyan" if number == 0 else "")  # fold: nothing is cut off
    for line in cells:
        table.add_row(*(Text(cell) for cell in line))
    context.console.print(table)
