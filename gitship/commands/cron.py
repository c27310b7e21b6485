"""cron: commands that run on a schedule, each in its own container of the app's live release."""

from __future__ import annotations

import shlex
import time
from typing import Annotated

from cyclopts import Parameter

from gitship.appfiles import cron_schedule
from gitship.commands.run import seconds
from gitship.console import idempotence
from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import AppName, Context, Ctx
from gitship.console.listing import Format, duration, moment, show
from gitship.errors import UsageError
from gitship.model import CRON_NAME, CRON_TIMEOUT_S, CronEntry, Overlap, Role
from gitship.oneoff import crontab
from gitship.schema import Value

FIELDS = 5  # of a schedule that is not a word such as @daily
EXAMPLE = "cron:add shop nightly '0 3 * * *' ./report --all"

Name = Annotated[str, Parameter(name="NAME", help="the entry's name, as `cron:list` shows it")]
Words = Annotated[
    str,
    Parameter(
        name="SCHEDULE COMMAND",
        help="five fields or a name such as @daily, then the command and its arguments, run without a shell",
    ),
]
Timezone = Annotated[
    str | None, Parameter(name="--timezone", metavar="ZONE", help="the time zone, for example Europe/Berlin")
]
Policy = Annotated[Overlap, Parameter(name="--overlap", help="what to do if the previous run is still running")]
Timeout = Annotated[
    str | None,
    Parameter(name="--timeout", metavar="TIME", help="stop a run after this time: 30s, 10m, 2h, 1d (default 24h)"),
]


@command(
    "cron:add",
    Role.DEPLOYER,
    "run a command on a schedule; survives deploys",
    details="Options come before the schedule. Deploys nothing. Replaces an entry of the same name; one from "
    "app.json or gitship.toml applies again after `cron:remove`. The five fields of the schedule are "
    "minute, hour, day of month, month and day of week, as in crontab(5).",
    examples=(
        EXAMPLE,
        "cron:add --timezone Europe/Berlin --overlap queue shop sync @hourly ./sync",
    ),
    program_after=2,
)
def add(
    app: AppName,
    name: Name,
    /,
    *words: Words,
    context: Ctx,
    timezone: Timezone = None,
    overlap: Policy = Overlap.SKIP,
    timeout: Timeout = None,
) -> None:
    entry = CronEntry(
        name=_name(name),
        schedule=_schedule(words),
        command=_command(words),
        source=crontab.COMMAND,
        timezone=Value("cron:add", "--timezone", timezone).timezone() if timezone is not None else "",
        overlap=overlap,
        timeout_s=seconds(timeout) if timeout is not None else CRON_TIMEOUT_S,
    )
    found = context.app(app)
    replaced = context.operations.cron.add(found, entry, context.identity)
    context.record(f"{entry.name} {entry.schedule}")
    context.line(f"{'changed' if replaced else 'added'} {entry.name} of {found.name}: {entry.schedule}")


def _name(text: str) -> str:
    if not CRON_NAME.fullmatch(text):
        raise UsageError(
            f"'{text[:80]}' is not a name", "use lower-case letters, digits, '-' and '_', for instance nightly"
        )
    return text


def _schedule_words(words: tuple[str, ...]) -> int:
    """How many words are the schedule: quotes are often gone by the time that it arrives here."""
    if not words:
        raise UsageError("the schedule or the command is missing", f"for instance {EXAMPLE}")
    return 1 if words[0].startswith("@") or len(words[0].split()) > 1 else FIELDS


def _schedule(words: tuple[str, ...]) -> str:
    return Value("cron:add", "SCHEDULE", " ".join(words[: _schedule_words(words)])).parsed(cron_schedule.parse)


def _command(words: tuple[str, ...]) -> tuple[str, ...]:
    rest = words[_schedule_words(words) :]
    if not rest or not rest[0]:
        raise UsageError("which command?", f"for instance {EXAMPLE}")
    return rest


@command(
    "cron:remove",
    Role.DEPLOYER,
    "remove an entry added by command; its history stays",
    details="A run in progress goes on.",
    examples=("cron:remove shop nightly",),
)
def remove(app: AppName, name: Name, /, *, context: Ctx) -> None:
    found = context.app(app)
    context.record(name[:80])
    with idempotence.is_done():
        again = context.operations.cron.remove(found, name, context.identity)
    context.line(f"removed {name} of {found.name}")
    if again is not None:
        context.note(f"the one in {again.source} applies again: {again.schedule}")


@command(
    "cron:suspend",
    Role.DEPLOYER,
    "stop an entry's schedule until `cron:resume`",
    details="`cron:run` still runs it. Deploys do not resume it.",
    examples=("cron:suspend shop nightly",),
)
def suspend(app: AppName, name: Name, /, *, context: Ctx) -> None:
    _suspend(context, app, name, suspended=True)


@command(
    "cron:resume",
    Role.DEPLOYER,
    "resume an entry's schedule",
    details="Also resumes one with `maintenance` in app.json. Missed runs are not caught up.",
    examples=("cron:resume shop nightly",),
)
def resume(app: AppName, name: Name, /, *, context: Ctx) -> None:
    _suspend(context, app, name, suspended=False)


def _suspend(context: Context, app: str, name: str, *, suspended: bool) -> None:
    found = context.app(app)
    context.record(name[:80])
    if context.operations.cron.suspend(found, name, context.identity, suspended=suspended):
        context.line(f"{name} of {found.name} {'is suspended' if suspended else 'is scheduled again'}")
    else:
        context.note("no change")


@command(
    "cron:list",
    Role.VIEWER,
    "list an app's cron entries and their last run",
    columns=(
        Column("name", "the entry's name"),
        Column("schedule", "when it runs"),
        Column("timezone", "the time zone"),
        Column("next_at", "when it runs next; null while it or the app is stopped, or nothing is live"),
        Column("last_at", "when its last run began"),
        Column(
            "last", "that run's outcome: queued, running, ok, failed, timed out, replaced or skipped", title="outcome"
        ),
        Column("overlap", "skip, queue, replace or allow"),
        Column("timeout", "seconds after which a run is stopped", lambda s: duration(int(s))),
        Column("suspended", "true: only `cron:run` runs it"),
        Column("source", "app.json, gitship.toml or command"),
        Column("command", "what runs", shlex.join),
    ),
    examples=("cron:list shop", "cron:list shop --format json"),
    aliases=("cron",),
)
def list_entries(app: AppName, /, *, context: Ctx, format: Format = "table") -> None:
    found = context.app(app)
    rows = [
        {
            "name": each.entry.name,
            "schedule": each.entry.schedule,
            "timezone": each.timezone,
            "next_at": moment(each.next_at),
            "last_at": moment(each.last.started_at if each.last else None),
            "last": str(each.last.outcome) if each.last else None,
            "overlap": str(each.entry.overlap),
            "timeout": each.entry.timeout_s,
            "suspended": each.entry.suspended,
            "source": each.entry.source,
            "command": list(each.entry.command),
        }
        for each in context.operations.cron.entries(found, time.time())
    ]
    show(context, rows, format, empty=f"no cron entries; for instance {EXAMPLE}")
