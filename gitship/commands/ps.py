"""ps: scale, stop, start, restart and rebuild an app's processes."""

from __future__ import annotations

import re
from typing import Annotated

from cyclopts import Parameter

from gitship.appfiles.formation import quantity
from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import AppName, Context, Ctx
from gitship.console.follow_deploy import Detach, follow
from gitship.console.listing import Format, show
from gitship.errors import GitshipError, NotFound, UsageError, nearest
from gitship.model import PROCESS_TYPE, App, Role

MOST_CONTAINERS = 100  # per process type: a /26 network has 61 addresses, so more is a slip of the finger

Quantities = Annotated[
    str, Parameter(name="PROCESS=N", help=f"how many, 0 to {MOST_CONTAINERS}; without any, show them")
]


@command(
    "ps:scale",
    Role.DEPLOYER,
    "set or show the number of containers of each process type",
    columns=(Column("process", "the process type"), Column("quantity", "its number of containers")),
    examples=("ps:scale shop", "ps:scale shop web=2 worker=1"),
)
def scale(
    app: AppName, /, *quantities: Quantities, context: Ctx, detach: Detach = False, format: Format = "table"
) -> None:
    wanted = parse_quantities(quantities, app)
    found = context.app(app)
    if not wanted:
        rows = [{"process": process, "quantity": number} for process, number in _scale(context, found).items()]
        show(context, rows, format, empty="no processes yet")
        return
    _check_types(context, found, wanted)
    if _is_so(context, found, wanted):
        context.note("no change")
        return
    context.record(" ".join(quantities))
    deploy = context.operations.ps.scale(found, wanted, context.identity)
    what = f"{found.name} to {', '.join(f'{process}={number}' for process, number in wanted.items())}"
    context.line(f"{'scaled' if deploy is None else 'scaling'} {what}")
    if deploy is None:
        context.note("nothing has to be deployed now")
        return
    follow(context, found.name, deploy, detach=detach)


def parse_quantities(words: tuple[str, ...], app: str = "shop") -> dict[str, int]:
    """``("web=2", "worker=1")`` as numbers by process type. Raises UsageError."""
    wanted: dict[str, int] = {}
    number = next((word for word in words if word.isdecimal() and word.isascii()), "")
    named = next((word for word in words if PROCESS_TYPE.fullmatch(word) and not word.isdecimal()), "web")
    example = f"{named}={number[:9]}" if number else "web=2 worker=1"
    for word in words:
        process, _, number = word.partition("=")
        if not PROCESS_TYPE.fullmatch(process) or not re.fullmatch(r"[0-9]{1,9}", number):
            raise UsageError(f"'{word[:80]}' is not PROCESS=N", f"for instance `ps:scale {app[:63]} {example}`")
        if int(number) > MOST_CONTAINERS:
            raise UsageError(f"{word} is too many", f"0 to {MOST_CONTAINERS} containers of a process type")
        if process in wanted:
            raise UsageError(f"{process} is given twice", "give each process type once")
        wanted[process] = int(number)
    return wanted


def _scale(context: Context, app: App) -> dict[str, int]:
    """What is asked for: stored quantities, and for the live release's other types what the app itself asks for."""
    scale = context.store.scale(app.id)
    if not app.live_release:
        return scale
    return {p.type: quantity(p, scale) for p in context.store.release(app.live_release).processes} | scale


def _is_so(context: Context, app: App, wanted: dict[str, int]) -> bool:
    """Set like this by command, and no deploy under way that could be changing it."""
    stored = context.store.scale(app.id)
    under_way = context.store.deploying(app.id)
    return not under_way and all(stored.get(process) == number for process, number in wanted.items())


def _check_types(context: Context, app: App, wanted: dict[str, int]) -> None:
    if not app.live_release:  # the first push will say which types there are
        return
    known = [p.type for p in context.store.release(app.live_release).processes]
    for process in wanted:
        if process not in known:
            raise no_process(app.name, process, known)


def no_process(app: str, process: str, known: list[str]) -> NotFound:
    """The error for a process type that the live release does not have."""
    near = nearest(process, known)
    return NotFound(
        f"{app} has no process type '{process[:80]}'",
        f"did you mean '{near}'?" if near else f"it has {', '.join(known)}; more come with a Procfile",
    )


@command(
    "ps:stop",
    Role.DEPLOYER,
    "stop an app's containers; visitors see a page that says so",
    details="Requests in progress are answered first. Config and scale changes wait for the next start. A push, "
    "rollback, restart or rebuild also starts the app.",
    examples=("ps:stop shop",),
)
def stop(app: AppName, /, *, context: Ctx, detach: Detach = False) -> None:
    found = context.app(app)
    if context.operations.ps.stopped(found):
        context.note(f"{found.name} is already stopped: no change")
        return
    follow(context, found.name, context.operations.ps.stop(found, context.identity), detach=detach)


@command("ps:start", Role.DEPLOYER, "start a stopped app with its current config", examples=("ps:start shop",))
def start(app: AppName, /, *, context: Ctx, detach: Detach = False) -> None:
    found = context.app(app)
    if found.live_release and not context.operations.ps.stopped(found):
        context.note(f"{found.name} is already started: no change; for new containers: ps:restart {found.name}")
        return
    follow(context, found.name, context.operations.ps.start(found, context.identity), detach=detach)


@command(
    "ps:rebuild",
    Role.DEPLOYER,
    "rebuild the live commit and deploy it as a new release",
    details="The commit must still be in the repository.",
    examples=("ps:rebuild shop", "ps:rebuild shop --no-cache"),
)
def rebuild(
    app: AppName,
    /,
    *,
    context: Ctx,
    no_cache: Annotated[bool, Parameter(name="--no-cache", help="don't use the build cache")] = False,
    detach: Detach = False,
) -> None:
    found = context.app(app)
    deploy = context.operations.ps.rebuild(found, context.identity, no_cache=no_cache)
    follow(context, found.name, deploy, detach=detach)


@command(
    "ps:restart",
    Role.DEPLOYER,
    "restart the live release's containers with no failed request",
    examples=("ps:restart shop",),
)
def restart(app: AppName, /, *, context: Ctx, detach: Detach = False) -> None:
    found = context.app(app)
    if not found.live_release:
        raise GitshipError(f"{found.name} has no live release", "push to it first")
    follow(context, found.name, context.operations.ps.restart(found, context.identity), detach=detach)
