"""config: an app's environment variables. A change creates a new release without a build."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from cyclopts import Parameter

from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import AppName, Context, Ctx
from gitship.console.follow_deploy import Detach, follow
from gitship.console.listing import Format, show
from gitship.console.prompt import read_all
from gitship.errors import AlreadyGone, GitshipError, NotFound, UsageError, nearest
from gitship.model import CONFIG_NAME, App, Role

# Linux refuses to start a program with a single "NAME=value" of 128 KiB, its NUL included (MAX_ARG_STRLEN).
VARIABLE_BYTES = 128 * 1024 - 1
# ... or with more than 2 MiB of arguments and environment in all (a quarter of the usual 8 MiB stack).
ENVIRONMENT_BYTES = 1024 * 1024
HIDDEN = "(hidden)"
QUOTING = "a value with spaces needs quotes for both shells: ssh ... 'config:set APP NAME=\"two words\"'"

Names = Annotated[str, Parameter(name="NAME", help="the variables' names")]
Pairs = Annotated[str, Parameter(name="NAME=VALUE", help="what to set")]
NoRestart = Annotated[
    bool, Parameter(name="--no-restart", help="only store the change; the next deploy or start uses it")
]
FromStdin = Annotated[
    str | None,
    Parameter(
        name="--stdin", metavar="NAME", help="also set this variable to standard input, without its final newline"
    ),
]


@command(
    "config:set",
    Role.DEPLOYER,
    "set variables, and deploy",
    details=QUOTING[0].upper() + QUOTING[1:] + ".",
    examples=("config:set shop LOG_LEVEL=debug WORKERS=2", "config:set shop --stdin TLS_KEY < key.pem"),
)
def set_config(
    app: AppName,
    /,
    *pairs: Pairs,
    context: Ctx,
    stdin: FromStdin = None,
    no_restart: NoRestart = False,
    detach: Detach = False,
) -> None:
    values: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"'{pair[:80]}' is not NAME=VALUE", QUOTING)
        add_variable(values, name, value)
    if stdin is not None:
        add_variable(values, stdin, read_all(context.session, VARIABLE_BYTES).removesuffix("\n").removesuffix("\r"))
    if not values:
        raise UsageError("nothing to set", f"`config:set {app} NAME=VALUE`, or of a file: config:import {app} < .env")
    found = context.app(app)
    before = context.store.config(found.id)
    check_total({**before, **values})
    changes = {name: value for name, value in values.items() if before.get(name) != value}
    change(context, found, changes, ("set", "setting"), detach=detach, restart=not no_restart)


@command(
    "config:unset",
    Role.DEPLOYER,
    "remove variables, and deploy",
    examples=("config:unset shop LOG_LEVEL", "config:unset shop --all"),
)
def unset(
    app: AppName,
    /,
    *names: Names,
    context: Ctx,
    everything: Annotated[bool, Parameter(name="--all", help="every variable of the app")] = False,
    no_restart: NoRestart = False,
    detach: Detach = False,
) -> None:
    if bool(names) == everything:
        raise UsageError("give the variables' names, or --all", f"for instance `config:unset {app} NAME`")
    found = context.app(app)
    before = context.store.config(found.id)
    names = tuple(before) if everything else names
    for name in names:
        if name not in before:
            absent = _no_variable(found.name, name, before)
            raise AlreadyGone(absent.message, absent.hint)
    change(context, found, dict.fromkeys(names), ("unset", "unsetting"), detach=detach, restart=not no_restart)


@command(
    "config:show",
    Role.VIEWER,
    "list an app's variables, values hidden",
    columns=(
        Column("name", "the variable's name"),
        Column("value", "its value, null without --reveal", lambda value: HIDDEN if value is None else value),
    ),
    examples=("config:show shop", "config:show shop --reveal --format json"),
    aliases=("config",),
)
def show_config(
    app: AppName,
    /,
    *,
    context: Ctx,
    reveal: Annotated[bool, Parameter(name="--reveal", help="show the values (needs the role deployer)")] = False,
    format: Format = "table",
) -> None:
    if reveal:
        context.require(Role.DEPLOYER, "`config:show --reveal`")
    found = context.app(app)
    values = context.store.config(found.id)
    rows = [{"name": name, "value": value if reveal else None} for name, value in values.items()]
    show(context, rows, format, empty=f"no variables; `config:set {found.name} NAME=VALUE` sets one")


@command(
    "config:get",
    Role.DEPLOYER,
    "print the exact value of a variable",
    examples=("config:get shop DATABASE_URL",),
)
def get(app: AppName, name: Annotated[str, Parameter(name="NAME", help="the variable")], /, *, context: Ctx) -> None:
    found = context.app(app)
    values = context.store.config(found.id)
    if name not in values:
        raise _no_variable(found.name, name, values)
    context.line(values[name])


def add_variable(values: dict[str, str], name: str, value: str) -> None:
    """Adds it to ``values``. Raises UsageError for its name, GitshipError for what no environment can carry."""
    if not CONFIG_NAME.fullmatch(name):
        raise UsageError(
            f"'{name[:80]}' is not a variable name", "use letters, digits and _, not beginning with a digit"
        )
    if name in values:
        raise UsageError(f"{name} is given twice", "give each variable once")
    try:
        length = len(f"{name}={value}".encode())
    except UnicodeEncodeError:
        raise GitshipError(f"the value of {name} is not UTF-8 text", "encode it, for instance as base64") from None
    if "\0" in value:
        raise GitshipError(
            f"the value of {name} has a NUL in it", "environment variables cannot contain NUL; encode it"
        )
    if length > VARIABLE_BYTES:
        raise GitshipError(
            f"{name} is {length:,} bytes long; Linux allows at most {VARIABLE_BYTES:,}",
            "put it into a file of the image, or fetch it when the app starts",
        )
    values[name] = value


def check_total(values: Mapping[str, str]) -> None:
    """Raises GitshipError when no program could be started with all of them."""
    total = sum(len(f"{name}={value}".encode()) + 1 for name, value in values.items())
    if total > ENVIRONMENT_BYTES:
        raise GitshipError(
            f"all variables together would be {total:,} bytes; the limit is {ENVIRONMENT_BYTES:,}",
            "unset some first",
        )


def _no_variable(app: str, name: str, known: Mapping[str, str]) -> NotFound:
    near = nearest(name, known)
    return NotFound(
        f"{app} has no variable '{name[:80]}'", f"did you mean {near}?" if near else f"see `config:show {app}`"
    )


def change(
    context: Context,
    app: App,
    changes: Mapping[str, str | None],
    verb: tuple[str, str],
    *,
    detach: bool,
    restart: bool,
) -> None:
    """``verb`` as said of what is done, and of what holds only once the deploy is live."""
    if not changes:
        context.note("no change: these values are already set")
        return
    context.record(", ".join(changes))
    deploy = context.operations.config.change(app, changes, context.identity, restart=restart)
    done, doing = verb
    context.line(f"{done if deploy is None else doing} {', '.join(changes)} for {app.name}")
    if deploy is None:
        context.note("the next deploy uses it")
        return
    follow(context, app.name, deploy, detach=detach)
