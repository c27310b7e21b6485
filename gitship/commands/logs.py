"""logs: the output of an app's containers and of its deploys."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

from cyclopts import Parameter

from gitship.commands.ps import no_process
from gitship.commands.releases import release_number
from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import AppName, Context, Ctx
from gitship.console.durations import typed_seconds
from gitship.console.escapes import plain, printable
from gitship.console.follow_deploy import follow
from gitship.console.grep import matcher
from gitship.console.listing import Format
from gitship.console.log_lines import writer
from gitship.console.prompt import PromptInterrupted
from gitship.engine.types import LogLine
from gitship.errors import GitshipError, NotFound, UsageError
from gitship.model import App, Role

MOST_LINES = 100_000
MOST_PATTERN_CHARS = 1000

Lines = Annotated[int, Parameter(name=("-n", "--lines"), metavar="N", help="number of last lines of each container")]
Follow = Annotated[bool, Parameter(name=("-f", "--follow"), help="show new lines until Ctrl-C")]
OfProcess = Annotated[str | None, Parameter(name=("-p", "--process"), metavar="TYPE", help="only this process type")]
Since = Annotated[
    str | None,
    Parameter(name="--since", metavar="WHEN", help="only lines since: 30s, 10m, 2h, 1d, or a time in UTC"),
]
Grep = Annotated[str | None, Parameter(name="--grep", metavar="PATTERN", help="only lines with this text")]
Regex = Annotated[bool, Parameter(name=("-E", "--regex"), help="the pattern is a regular expression")]
IgnoreCase = Annotated[bool, Parameter(name=("-i", "--ignore-case"), help="ignore case")]
Invert = Annotated[bool, Parameter(name=("-v", "--invert"), help="only lines that do not match")]
OfRelease = Annotated[
    str | None, Parameter(name="--release", metavar="RELEASE", help="an earlier release, for example v11")
]


def parse_since(text: str, now: float) -> float:
    """``10m`` or ``2026-01-31T12:00:00`` as seconds since 1970. Raises UsageError."""
    ago_s = typed_seconds(text, 6)
    if ago_s is not None:
        return now - ago_s
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
    "show an app's logs and container events",
    columns=(
        Column("at", "when"),
        Column("process", "the process type and number, as in web.1"),
        Column("container", "the container's name"),
        Column("stream", "stdout, stderr, or event for what happened to the container"),
        Column("text", "the line, exactly"),
    ),
    details="JSON output is one object per line. Crashes, out of memory and restarts appear among the lines. "
    "With --grep, -n counts matching lines. Regular expressions use RE2 syntax: no back-references or "
    "look-around, and \\d, \\w and \\b are ASCII. --release shows the lines of all containers of that "
    "release: the last 10,000 of each are kept, for as many releases as the server setting "
    "deploy.keep_releases.",
    examples=(
        "logs shop -f",
        "logs shop -n 20 --process worker",
        "logs shop --since 10m --format json",
        "logs shop -f -i --grep error",
        "logs shop -E --grep 'status=5[0-9]+'",
        "logs shop --release v11",
    ),
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
    grep: Grep = None,
    regex: Regex = False,
    ignore_case: IgnoreCase = False,
    invert: Invert = False,
    release: OfRelease = None,
    format: Format = "table",
) -> None:
    if not 0 <= lines <= MOST_LINES:
        raise UsageError(f"-n {lines} is out of range", f"0 to {MOST_LINES:,} lines")
    start = parse_since(since, time.time()) if since else None
    matches = parse_grep(grep, regex=regex, ignore_case=ignore_case, invert=invert)
    number = release_number(release) if release is not None else None
    if follow and number is not None:
        raise UsageError("--follow and --release exclude each other", "leave out --release to follow the live release")
    found = context.app(app)
    if number is None and not found.live_release and not follow:
        number = _failed_first(context, found)
    if number is None:
        _check_live(context, found, process)
    write, gone = writer(context, format), context.session.closed
    lines_of = context.operations.logs.read(
        found, process=process, tail=lines, since=start, follow=follow, stop=gone, matches=matches, release=number
    )
    with _closing(lines_of) as stream:
        for line in stream:
            write(line)
    if follow or gone.is_set():
        raise PromptInterrupted


def parse_grep(pattern: str | None, *, regex: bool, ignore_case: bool, invert: bool) -> Callable[[str], bool] | None:
    """What says of a line whether it is wanted; None wants all. Raises UsageError."""
    if pattern is None:
        if regex or ignore_case or invert:
            raise UsageError("--regex, --ignore-case and --invert need --grep", "add --grep PATTERN")
        return None
    if not pattern or len(pattern) > MOST_PATTERN_CHARS:
        raise UsageError("the pattern is empty or too long", f"1 to {MOST_PATTERN_CHARS:,} characters")
    try:
        wanted = matcher(pattern, regex=regex, ignore_case=ignore_case, invert=invert)
    except ValueError as error:
        hint = "escape special characters with \\, or leave out --regex"
        raise UsageError(f"'{printable(pattern[:80])}' is not a valid pattern: {printable(str(error))}", hint) from None
    return lambda text: wanted(plain(text))  # colours stand within words


@contextmanager
def _closing(stream: Iterator[LogLine]) -> Iterator[Iterator[LogLine]]:
    """Ends the stream with the block, so that its connections to the engine are not left to the garbage collector."""
    try:
        yield stream
    finally:
        close = getattr(stream, "close", None)
        if close:
            close()


def _failed_first(context: Context, app: App) -> int | None:
    """The newest release of an app of which nothing is live: what it printed is what there is to see."""
    newest = next(iter(context.store.releases(app.id)), None)
    if newest is None:
        return None
    context.note(f"{app.name} has no live release: showing {newest.label}, whose deploy failed")
    return newest.number


def _check_live(context: Context, app: App, process: str | None) -> None:
    if not app.live_release:
        raise GitshipError(
            f"{app.name} has no live release",
            "push to it first; `logs:deploy` shows its deploys, `logs --release v1` what one of them started",
        )
    known = [p.type for p in context.store.release(app.live_release).processes]
    if process is not None and process not in known:
        raise no_process(app.name, process, known)


@command(
    "logs:deploy",
    Role.VIEWER,
    "show a deploy's output, live while it runs",
    details="The exit code is 1 if the deploy did not go live.",
    examples=("logs:deploy shop", "logs:deploy shop 42"),
)
def deploy_log(
    app: AppName,
    deploy: Annotated[int | None, Parameter(name="ID", help="from `deploys:list` (default: the latest)")] = None,
    /,
    *,
    context: Ctx,
) -> None:
    found = context.app(app)
    if deploy is None:
        newest = context.store.deploys(found.id, limit=1)
        if not newest:
            raise NotFound(f"{found.name} has never been deployed", "push to it first")
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
