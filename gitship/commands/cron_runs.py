"""cron:run, cron:history, cron:log: the runs of an app's cron entries."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from gitship.commands.cron import Name
from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import AppName, Context, Ctx
from gitship.console.listing import Format, moment, show
from gitship.console.prompt import PromptInterrupted
from gitship.errors import GitshipError, UsageError
from gitship.model import App, CronOutcome, CronRun, Role
from gitship.oneoff.programs import TIMED_OUT
from gitship.store.cron_runs import KEPT_PER_ENTRY

Number = Annotated[int | None, Parameter(name="RUN", help="the run's number (default: the latest)")]
Detach = Annotated[bool, Parameter(name="--detach", help="don't wait for it to end")]


@command(
    "cron:run",
    Role.DEPLOYER,
    "run an entry now and show its output",
    details="Exits with the command's exit code, or 124 if it timed out. The run goes on if the client "
    "disconnects. Refused while another run is in progress, unless the entry's overlap is allow or "
    "replace.",
    examples=("cron:run shop nightly", "cron:run shop nightly --detach"),
)
def run(app: AppName, name: Name, /, *, context: Ctx, detach: Detach = False) -> int:
    found = context.app(app)
    begun = context.operations.cron.run(found, name, context.identity)
    context.record(f"{name[:80]} run {begun.number}")
    if not detach or begun.outcome.ended:
        return _attend(context, found, begun)
    context.line(f"run {begun.number} of {name} has begun; `cron:log {found.name} {name} {begun.number}` shows it")
    return 0


def _attend(context: Context, app: App, begun: CronRun) -> int:
    """Shows the run to its end; the exit code. Raises GitshipError when it did not come to one of its own."""
    ended = context.operations.cron.follow(begun, context.foreign_line, context.session.closed)
    if not ended.outcome.ended:
        raise PromptInterrupted
    if ended.outcome is CronOutcome.OK:
        return 0
    if ended.outcome is CronOutcome.TIMED_OUT:
        context.note(ended.reason)
        return TIMED_OUT
    if ended.exit_code:
        if ended.reason != f"exit code {ended.exit_code}":
            context.note(ended.reason)
        return ended.exit_code
    raise GitshipError(
        f"run {ended.number} of {ended.entry} {ended.outcome}: {ended.reason}",
        f"see `cron:history {app.name} {ended.entry}`",
    )


@command(
    "cron:history",
    Role.VIEWER,
    "list the runs of an app's cron entries, newest first",
    details=f"The last {KEPT_PER_ENTRY} of each entry are kept.",
    columns=(
        Column("run", "its number, for `cron:log`"),
        Column("name", "the entry's name"),
        Column("outcome", "queued, running, ok, failed, timed out, replaced, stopped or skipped"),
        Column("due_at", "when it was due; null if run by hand"),
        Column("started_at", "when it began"),
        Column("seconds", "how long it took, null while running", lambda s: "" if s is None else f"{s:.1f}"),
        Column("exit_code", "the command's exit code, null if none"),
        Column("by", "the key that ran it; empty if scheduled"),
        Column("reason", "why it was not ok"),
    ),
    examples=("cron:history shop", "cron:history shop nightly -n 5", "cron:history shop --format json"),
)
def history(
    app: AppName,
    name: Annotated[str | None, Parameter(name="NAME", help="only this entry")] = None,
    /,
    *,
    context: Ctx,
    lines: Annotated[int, Parameter(name=("-n", "--lines"), metavar="N", help="number of entries")] = 20,
    format: Format = "table",
) -> None:
    if lines < 1:
        raise UsageError("-n must be 1 or more", "for instance -n 20")
    found = context.app(app)
    rows = [
        {
            "run": each.number,
            "name": each.entry,
            "outcome": str(each.outcome),
            "due_at": moment(each.due_at),
            "started_at": moment(each.started_at),
            "seconds": None if each.ended_at is None else round(max(0.0, each.ended_at - each.started_at), 3),
            "exit_code": each.exit_code,
            "by": each.by,
            "reason": each.reason,
        }
        for each in context.operations.cron.history(found, name, lines)
    ]
    show(context, rows, format, empty="no runs yet")


@command(
    "cron:log",
    Role.DEPLOYER,
    "show a run's output so far, also after its end",
    examples=("cron:log shop nightly", "cron:log shop nightly 12"),
)
def show_log(app: AppName, name: Name, number: Number = None, /, *, context: Ctx) -> None:
    found = context.app(app)
    wanted = context.operations.cron.run_of(found, name, number)
    for line in context.operations.cron.output(wanted):
        context.foreign_line(line)
    code = "" if wanted.exit_code is None else f", exit code {wanted.exit_code}"
    context.note(f"run {wanted.number} {wanted.outcome}{code}")
