"""run: run a command in a one-off container of the app's live release."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from gitship.commands.config import add_variable
from gitship.console import idempotence
from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import AppName, Ctx
from gitship.console.durations import typed_seconds
from gitship.console.listing import Format, moment, show, version
from gitship.console.prompt import PromptInterrupted
from gitship.containers.attach_client import ClientLeft
from gitship.errors import UsageError
from gitship.model import Role
from gitship.oneoff.programs import ProgramCommand

DETACHED_TIMEOUT = "24h"
LONGEST_S = 30 * 86_400

Words = Annotated[str, Parameter(name="COMMAND", help="the command and its arguments, run without a shell")]
Name = Annotated[str, Parameter(name="NAME", help="the container's name, or its short form, for example run.3")]
Detached = Annotated[bool, Parameter(name="--detach", help="return at once; see the output with logs:run")]
Limit = Annotated[
    str | None,
    Parameter(
        name="--timeout",
        metavar="TIME",
        help=f"stop it after this time: 30s, 10m, 2h, 1d (default {DETACHED_TIMEOUT} with --detach, else none)",
    ),
]
Env = Annotated[
    list[str] | None,
    Parameter(name=("-e", "--env"), metavar="NAME=VALUE", help="set a variable; may be repeated"),
]
Entrypoint = Annotated[bool, Parameter(name="--entrypoint", help="always use the image's ENTRYPOINT")]
NoEntrypoint = Annotated[bool, Parameter(name="--no-entrypoint", help="never use the image's ENTRYPOINT")]


def seconds(text: str) -> float:
    """``90s``, ``10m``, ``2h``, ``1d``. Raises UsageError."""
    value = typed_seconds(text, 7)
    if not value or value > LONGEST_S:
        raise UsageError(f"'{text[:80]}' is not a time", "for instance 30s, 10m, 2h or 1d; 30d at most")
    return float(value)


def variables(pairs: list[str]) -> dict[str, str]:
    """``["A=1"]`` as a mapping. Raises UsageError, and GitshipError for what no environment can carry."""
    values: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"'{pair[:80]}' is not NAME=VALUE", "for instance `run -e DEBUG=1 shop ./report`")
        add_variable(values, name, value)
    return values


@command(
    "run",
    Role.DEPLOYER,
    "run a command in a new container of the live release",
    details="A process type (`run shop worker`) runs its line of the Procfile; anything else runs as given, "
    'without a shell. An ENTRYPOINT that runs its arguments (`tini`, a script with `exec "$@"`) is '
    "used, any other is skipped. `ssh -t` gives it a terminal; without it, standard input is passed on "
    "and stdout and stderr stay separate. Exits with the command's exit code, 124 if it timed out, or "
    "127 if it is not in the image. The container is removed when it ends or the client disconnects.",
    examples=("run shop ./manage.py migrate", "run shop cat < dump.sql", "run --detach --timeout 2h shop ./import -v"),
    program_after=1,
)
def run(
    app: AppName, /, *words: Words, context: Ctx, detach: Detached = False, timeout: Limit = None, env: Env = None,
    entrypoint: Entrypoint = False, no_entrypoint: NoEntrypoint = False,
) -> int | None:  # fmt: skip
    if entrypoint and no_entrypoint:
        raise UsageError("--entrypoint and --no-entrypoint exclude each other", "leave one of them out")
    if not words:
        raise UsageError("which command?", f"for instance `run {app} ls -l`")
    limit_s = seconds(timeout or DETACHED_TIMEOUT) if timeout or detach else None
    program = ProgramCommand(words, variables(env or []), limit_s, entrypoint or (False if no_entrypoint else None))
    found = context.app(app)
    if detach:
        context.line(context.operations.programs.run_detached(found, program, context.identity))
        return None
    try:
        return context.operations.programs.run(found, program, context.session, context.identity)
    except ClientLeft:
        raise PromptInterrupted from None


@command(
    "run:list",
    Role.DEPLOYER,
    "list an app's one-off containers",
    columns=(
        Column("name", "the container's name"),
        Column("release", "the release it runs", version),
        Column("mode", "attached or detached"),
        Column("status", "created, running or exited"),
        Column("by", "the key that started it"),
        Column("started_at", "when it started"),
        Column("ends_at", "when it is stopped at the latest, null for no limit"),
        Column("command", "its command"),
    ),
    examples=("run:list shop", "run:list shop --format json"),
)
def list_runs(app: AppName, /, *, context: Ctx, format: Format = "table") -> None:
    found = context.app(app)
    rows = [
        {
            "name": one.name,
            "release": one.release,
            "mode": "attached" if one.attached else "detached",
            "status": one.status,
            "by": one.by,
            "started_at": moment(one.started_at),
            "ends_at": moment(one.ends_at),
            "command": one.command,
        }
        for one in context.operations.programs.one_offs(found)
    ]
    show(context, rows, format, empty="no one-off containers")


@command("run:stop", Role.DEPLOYER, "stop a one-off container", examples=("run:stop shop run.3",))
def stop(app: AppName, name: Name, /, *, context: Ctx) -> None:
    found = context.app(app)
    with idempotence.is_done():
        stopped = context.operations.programs.stop(found, name, context.identity)
    context.line(f"stopped {stopped}")


@command(
    "logs:run",
    Role.DEPLOYER,
    "show the output of a detached one-off so far, also after its end",
    examples=("logs:run shop run.3",),
)
def run_log(app: AppName, name: Name, /, *, context: Ctx) -> None:
    found = context.app(app)
    for line in context.operations.programs.output(found, name):
        context.foreign_line(line)
