"""run: a command in a container of its own, made from the app's live release."""

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
from gitship.console.prompt import Interrupted
from gitship.containers.attach import ClientLeft
from gitship.errors import UsageError
from gitship.model import Role
from gitship.oneoff.programs import Command

DETACHED_TIMEOUT = "24h"
LONGEST_S = 30 * 86_400

Words = Annotated[str, Parameter(name="COMMAND", help="the command and its arguments, run without a shell")]
Name = Annotated[str, Parameter(name="NAME", help="the container's name, or its short form as in run.3")]
Detached = Annotated[bool, Parameter(name="--detach", help="return at once; the output goes to logs:run")]
Limit = Annotated[
    str | None,
    Parameter(
        name="--timeout",
        metavar="TIME",
        help=f"end it then: 30s, 10m, 2h, 1d (else {DETACHED_TIMEOUT} with --detach, and none without)",
    ),
]
Env = Annotated[
    list[str] | None,
    Parameter(name=("-e", "--env"), metavar="NAME=VALUE", help="a further variable; may be given several times"),
]
Entrypoint = Annotated[bool, Parameter(name="--entrypoint", help="pass the words to the image's ENTRYPOINT")]
NoEntrypoint = Annotated[bool, Parameter(name="--no-entrypoint", help="run them without it, whatever it does")]


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
    details="A process type (`run shop worker`) stands for its line of the Procfile; anything else runs as it is,"
    ' without a shell. An ENTRYPOINT that runs what it is given (`tini`, a script with `exec "$@"`) comes before it,'
    " any other is left out."
    " With `ssh -t` it has a terminal; without, standard input is passed on and stdout and stderr stay apart."
    " The exit code is the command's; 124 when its time was up, 127 when it is not in the image."
    " The container is removed at the end, or when the client goes away.",
    examples=("run shop ./manage.py migrate", "run shop cat < dump.sql", "run --detach --timeout 2h shop ./import -v"),
    program_after=1,
)
def run(
    app: AppName, /, *words: Words, context: Ctx, detach: Detached = False, timeout: Limit = None, env: Env = None,
    entrypoint: Entrypoint = False, no_entrypoint: NoEntrypoint = False,
) -> int | None:  # fmt: skip
    if entrypoint and no_entrypoint:
        raise UsageError("--entrypoint and --no-entrypoint do not go together", "leave one of them out")
    if not words:
        raise UsageError("which command?", f"for instance `run {app} ls -l`")
    limit_s = seconds(timeout or DETACHED_TIMEOUT) if timeout or detach else None
    program = Command(words, variables(env or []), limit_s, entrypoint or (False if no_entrypoint else None))
    found = context.app(app)
    if detach:
        context.line(context.operations.programs.run_detached(found, program, context.identity))
        return None
    try:
        return context.operations.programs.run(found, program, context.session, context.identity)
    except ClientLeft:
        raise Interrupted from None


@command(
    "run:list",
    Role.DEPLOYER,
    "the one-off containers that an app has now",
    columns=(
        Column("name", "the container's name"),
        Column("release", "the release it runs", version),
        Column("mode", "attached or detached"),
        Column("status", "created, running or exited"),
        Column("by", "whose key started it"),
        Column("started_at", "since when it runs"),
        Column("ends_at", "when it is ended at the latest, null for no limit"),
        Column("command", "what it runs"),
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
    show(context, rows, format, empty="no one-off container runs")


@command("run:stop", Role.DEPLOYER, "end a one-off container", examples=("run:stop shop run.3",))
def stop(app: AppName, name: Name, /, *, context: Ctx) -> None:
    found = context.app(app)
    with idempotence.is_done():
        stopped = context.operations.programs.stop(found, name, context.identity)
    context.line(f"stopped {stopped}")


@command(
    "logs:run",
    Role.DEPLOYER,
    "what a detached one-off has printed so far, also after its end",
    examples=("logs:run shop run.3",),
)
def run_log(app: AppName, name: Name, /, *, context: Ctx) -> None:
    found = context.app(app)
    for line in context.operations.programs.output(found, name):
        context.foreign_line(line)
