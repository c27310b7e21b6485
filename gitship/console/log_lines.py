"""Prints log lines: as JSON objects, or as text with a colour per process."""

from __future__ import annotations

from collections.abc import Callable

from rich.color import Color, ColorSystem
from rich.style import Style

from gitship.console.context import Context
from gitship.console.listing import iso, moment, print_json_line
from gitship.engine.types import LogLine
from gitship.logs.stream import EVENT

PROCESS_COLOURS = ("cyan", "green", "yellow", "magenta", "blue", "bright_cyan", "bright_green", "bright_magenta")
EVENT_STYLE = Style(color="red", bold=True)

Write = Callable[[LogLine], None]


def short_name(container: str) -> str:
    """``web.1`` of ``shop.web.1.v12``; app names may have dots, process types not."""
    parts = container.rsplit(".", 3)
    return ".".join(parts[1:3]) if len(parts) == 4 else container


def writer(context: Context, format: str) -> Write:
    """Prints one line at a time."""
    return _json_writer(context) if format == "json" else _text_writer(context)


def _json_writer(context: Context) -> Write:
    def write(line: LogLine) -> None:
        print_json_line(
            context,
            {
                "at": moment(line.at),
                "process": short_name(line.container),
                "container": line.container,
                "stream": line.stream,
                "text": line.text,
            },
        )

    return write


def _text_writer(context: Context) -> Write:
    prefixes: dict[str, Callable[[str], str]] = {}
    event = _painter(context, EVENT_STYLE)

    def write(line: LogLine) -> None:
        name = short_name(line.container)
        paint = prefixes.get(name)
        if paint is None:
            colour = PROCESS_COLOURS[len(prefixes) % len(PROCESS_COLOURS)]
            paint = prefixes[name] = _painter(context, Style(color=Color.parse(colour)))
        at = moment(line.at)
        assert at is not None
        prefix = paint(f"{iso(at)} {name}")
        if line.stream == EVENT:
            context.line(f"{prefix} | {event(f'-- {line.text}')}")
        else:
            context.foreign_line(f"{prefix} | {line.text}")

    return write


def _painter(context: Context, style: Style) -> Callable[[str], str]:
    """Colours a text on a terminal; Rich's Console.print per line would cost about 0.3 ms."""
    if context.console.color_system is None:
        return str
    return lambda text: style.render(text, color_system=ColorSystem.STANDARD)
