"""logs: what an app's containers print, and what its deploys printed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

from cyclopts import Parameter
from rich.color import Color, ColorSystem
from rich.style import Style

from gitship.commands.context import AppName, Context, Ctx
from gitship.commands.following import follow
from gitship.commands.listing import Format, iso, moment, print_json_line
from gitship.commands.prompt import Interrupted
from gitship.commands.ps import no_process
from gitship.commands.registry import Column, UsageError, command
from gitship.engine.base import LogLine
from gitship.errors import GitshipError, NotFound
from gitship.model import App, Role

MOST_LINES = 100_000
REATTACH_S = 0.5
UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
PROCESS_COLOURS = ("cyan", "green", "yellow", "magenta", "blue", "bright_cyan", "bright_green", "bright_magenta")

Lines = Annotated[int, Parameter(name=("-n", "--lines"), metavar="N", help="how many of each container's last lines")]
Follow = Annotated[bool, Parameter(name=("-f", "--follow"), help="go on with new lines until Ctrl-C")]
OfProcess = Annotated[str | None, Parameter(name=("-p", "--process"), metavar="TYPE", help="only this process type")]
Since = Annotated[
    str | None,
    Parameter(name="--since", metavar="WHEN", help="only lines since then: 30s, 10m, 2h, 1d, or a time in UTC"),
]


def parse_since(text: str, now: float) -> float:
    """``10m`` or ``2026-01-31T12:00:00`` as seconds since 1970. Raises UsageError."""
    if match := re.fullmatch(r"([0-9]{1,6})([smhd])", text):
        return now - int(match[1]) * UNITS_S[match[2]]
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"'{text[:80]}' is not a time", "for instance 30s, 10m, 2h, 1d or 2026-01-31T12:00:00"
        ) from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


@command(
    "logs",
    Role.VIEWER,
    "what an app's live containers print",
    columns=(
        Column("at", "when"),
        Column("process", "the process type and number, as in web.1"),
        Column("container", "the container's name"),
        Column("stream", "stdout or stderr"),
        Column("text", "the line, exactly"),
    ),
    details="JSON comes as one object per line.",
    examples=("logs shop -f", "logs shop -n 20 --process worker", "logs shop --since 10m --format json"),
)
def show_logs(
    app: AppName,
    /,
    *,
    context: Ctx,
    lines: Lines = 100,
    follow: Follow = False,
    process: OfProcess = None,
    since: Since = None,
    format: Format = "table",
) -> None:
    if not 0 <= lines <= MOST_LINES:
        raise UsageError(f"-n {lines} is out of range", f"0 to {MOST_LINES:,} lines")
    start = parse_since(since, time.time()) if since else None
    found = context.app(app)
    _check_live(context, found, process)
    write = _json_writer(context) if format == "json" else _text_writer(context, found.name)
    if follow:
        for line in _from_now_on(context, found, process, lines, start):
            write(line)
        raise Interrupted
    with _closing(context.operations.logs(found.name, process=process, tail=lines, since=start)) as past:
        for line in past:
            write(line)


@contextmanager
def _closing(stream: Iterator[LogLine]) -> Iterator[Iterator[LogLine]]:
    """Ends the stream with the block, so that its connections to the engine are not left to the garbage collector."""
    try:
        yield stream
    finally:
        close = getattr(stream, "close", None)
        if close:
            close()


def _from_now_on(context: Context, app: App, process: str | None, tail: int, since: float | None) -> Iterator[LogLine]:
    """Lines until the client leaves: a container's log ends with it, so each release is attached to anew."""
    stop = context.session.closed
    newest: dict[str, float] = {}  # by container, so that no line comes twice
    release, first = app.live_release, True
    while not stop.is_set():
        shown = dict(newest)  # as of now: later lines of the same instant are no repetition
        try:
            with _closing(
                context.operations.logs(app.name, process=process, tail=tail, since=since, follow=True, stop=stop)
            ) as stream:
                for line in stream:
                    if line.at > shown.get(line.container, -1.0):
                        yield line
                        newest[line.container] = line.at
        except NotFound:  # removed at this moment, or a release without this process
            if first:
                raise
        first = False
        stop.wait(REATTACH_S)
        live = context.app(app.name).live_release  # raises NotFound when the app has been destroyed
        tail, since = MOST_LINES, max(newest.values(), default=None) if live == release else None
        release = live


def _check_live(context: Context, app: App, process: str | None) -> None:
    if not app.live_release:
        raise GitshipError(f"nothing of {app.name} is live", "push to it first; `logs:deploy` shows its deploys")
    known = [p.type for p in context.store.release(app.live_release).processes]
    if process is not None and process not in known:
        raise no_process(app.name, process, known)


def short_name(container: str) -> str:
    """``web.1`` of ``shop.web.1.v12``; app names may have dots, process types not."""
    parts = container.rsplit(".", 3)
    return ".".join(parts[1:3]) if len(parts) == 4 else container


def _json_writer(context: Context) -> Callable[[LogLine], None]:
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


def _text_writer(context: Context, app: str) -> Callable[[LogLine], None]:
    prefixes: dict[str, Callable[[str], str]] = {}

    def write(line: LogLine) -> None:
        name = short_name(line.container)
        paint = prefixes.setdefault(name, _painter(context, len(prefixes)))
        at = moment(line.at)
        assert at is not None
        context.foreign_line(f"{paint(f'{iso(at)} {name}')} | {line.text}")

    return write


def _painter(context: Context, number: int) -> Callable[[str], str]:
    """Colours a prefix, each process in its own; Rich's Console.print per line would cost about 0.3 ms."""
    system = context.console.color_system
    if system is None:
        return str
    style = Style(color=Color.parse(PROCESS_COLOURS[number % len(PROCESS_COLOURS)]))
    return lambda text: style.render(text, color_system=ColorSystem.STANDARD)


@command(
    "logs:deploy",
    Role.VIEWER,
    "a deploy's output, live while it runs",
    details="The exit code is 1 when the deploy did not go live.",
    examples=("logs:deploy shop", "logs:deploy shop 42"),
)
def deploy_log(
    app: AppName,
    deploy: Annotated[int | None, Parameter(name="ID", help="from deploys:list; else the newest")] = None,
    /,
    *,
    context: Ctx,
) -> None:
    found = context.app(app)
    if deploy is None:
        newest = context.store.deploys(found.id, limit=1)
        if not newest:
            raise NotFound(f"{found.name} has had no deploy", "push to it first")
        follow(context, found.name, newest[0], raw=True)
        return
    missing = NotFound(f"{found.name} has no deploy {deploy}", f"see `deploys:list {found.name}`")
    try:
        record = context.store.deploy(deploy)
    except NotFound:
        raise missing from None
    if record.app_id != found.id:
        raise missing
    follow(context, found.name, record, raw=True)
