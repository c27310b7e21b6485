"""config:global: variables of all apps; an app's own take precedence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from cyclopts import Parameter

from gitship.commands.config import HIDDEN, QUOTING, Names, NoRestart, Pairs, add_variable, check_total
from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import Context, Ctx
from gitship.console.follow_deploy import Detach, follow
from gitship.console.listing import Format, show
from gitship.errors import AlreadyGone, DeployError, GitshipError, UsageError
from gitship.model import Role


@command(
    "config:global:set",
    Role.ADMIN,
    "set variables for all apps, and deploy them",
    details="An app's own variable of the same name takes precedence. Every live app that this changes is "
    "deployed; an app whose deploy fails keeps its old values. " + QUOTING[0].upper() + QUOTING[1:] + ".",
    examples=("config:global:set SENTRY_ENV=production", "config:global:set LOG_LEVEL=info --no-restart"),
)
def set_global(*pairs: Pairs, context: Ctx, no_restart: NoRestart = False, detach: Detach = False) -> None:
    values: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"'{pair[:80]}' is not NAME=VALUE", QUOTING)
        add_variable(values, name, value)
    if not values:
        raise UsageError("nothing to set", "for instance `config:global:set NAME=VALUE`")
    before = context.store.global_config()
    for app in context.store.apps():
        check_total({**before, **values, **context.store.config(app.id)})
    changes = {name: value for name, value in values.items() if before.get(name) != value}
    _change(context, changes, "set", detach=detach, restart=not no_restart)


@command(
    "config:global:unset",
    Role.ADMIN,
    "remove variables of all apps, and deploy them",
    examples=("config:global:unset SENTRY_ENV",),
)
def unset_global(*names: Names, context: Ctx, no_restart: NoRestart = False, detach: Detach = False) -> None:
    if not names:
        raise UsageError("nothing to unset", "for instance `config:global:unset NAME`")
    before = context.store.global_config()
    for name in names:
        if name not in before:
            raise AlreadyGone(f"there is no global variable '{name[:80]}'", "see `config:global:show`")
    _change(context, dict.fromkeys(names), "unset", detach=detach, restart=not no_restart)


@command(
    "config:global:show",
    Role.ADMIN,
    "list the variables of all apps, values hidden",
    columns=(
        Column("name", "the variable's name"),
        Column("value", "its value, null without --reveal", lambda value: HIDDEN if value is None else value),
    ),
    examples=("config:global:show", "config:global:show --reveal --format json"),
)
def show_global(
    *,
    context: Ctx,
    reveal: Annotated[bool, Parameter(name="--reveal", help="show the values")] = False,
    format: Format = "table",
) -> None:
    values = context.store.global_config()
    rows = [{"name": name, "value": value if reveal else None} for name, value in values.items()]
    show(context, rows, format, empty="no variables; `config:global:set NAME=VALUE` sets one")


def _change(context: Context, changes: Mapping[str, str | None], verb: str, *, detach: bool, restart: bool) -> None:
    """Raises DeployError at the end when an app did not get the change."""
    if not changes:
        context.note("no change: these values are already set")
        return
    context.record(", ".join(changes))
    deploys = context.operations.config.change_shared(changes, context.identity, restart=restart)
    context.line(f"{verb} {', '.join(changes)} for all apps")
    if not restart:
        context.note("the next deploy of each app uses it")
    without: list[str] = []
    for app, deploy in deploys:
        try:
            if isinstance(deploy, GitshipError):
                raise deploy
            follow(context, app.name, deploy, detach=detach)
        except GitshipError as error:
            context.note(f"{app.name}: {error.message}")
            without.append(app.name)
    if without:
        raise DeployError(
            f"{', '.join(without)} did not get it; their next deploy applies it",
            "see `deploys:info APP`; to undo it: config:global:set, config:global:unset",
        )
