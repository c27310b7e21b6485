"""keys:limit, keys:grant, keys:revoke: which apps a key may use.

A key may use all apps, or it has a list. Only ``keys:limit`` and ``keys:grant --all`` change which of the two it is, so
that nobody is shut out of, or let into, all the other apps by naming one.
"""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from gitship.commands.keys import KeyName, named
from gitship.console.command_registry import command
from gitship.console.context import Context, Ctx
from gitship.console.visible_apps import NO_APPS
from gitship.errors import AlreadyGone, Conflict, UsageError
from gitship.model import Key, Role

Apps = Annotated[str, Parameter(name="APP", help="an app's name; may be repeated")]


@command(
    "keys:limit",
    Role.ADMIN,
    "limit a key to these apps",
    details="It no longer sees other apps; its sessions there end at once. Its role stays the same. With "
    "--no-apps it may use none until `keys:grant`.",
    examples=("keys:limit ci shop", "keys:limit ci shop blog", "keys:limit ci --no-apps"),
)
def limit(
    name: KeyName,
    /,
    *app: Apps,
    context: Ctx,
    no_apps: Annotated[bool, Parameter(name=NO_APPS, help="no app at all")] = False,
) -> None:
    context.record(f"{name} to no app" if no_apps else name)
    if app and no_apps:
        raise UsageError(f"give the apps, or {NO_APPS}", f"for instance: keys:limit {name} shop")
    if not app and not no_apps:
        raise UsageError("APP is missing", f"name every app that the key may use; for none: {NO_APPS}")
    with context.store.acting_for_all(context.identity):
        key = _limitable(context, name)
        context.store.limit_key(key.id, _ids(context, app))
    _say(context, name)


@command(
    "keys:grant",
    Role.ADMIN,
    "allow a limited key to use more apps",
    details="With --all it may use every app.",
    examples=("keys:grant ci blog", "keys:grant ci --all"),
)
def grant(
    name: KeyName,
    /,
    *app: Apps,
    context: Ctx,
    all_apps: Annotated[bool, Parameter(name="--all", help="lift the limit")] = False,
) -> None:
    context.record(f"{name} for all apps" if all_apps else name)
    if bool(app) == all_apps:
        raise UsageError("give the apps, or --all", "for instance: keys:grant ci shop")
    with context.store.acting_for_all(context.identity):
        key = _limitable(context, name)
        if key.apps is None:
            raise Conflict(f"'{name}' may use all apps already", f"`keys:limit {name} APP ...` limits it to some")
        context.store.limit_key(key.id, None if all_apps else key.apps | _ids(context, app))
    _say(context, name)


@command(
    "keys:revoke",
    Role.ADMIN,
    "remove apps from a limited key",
    details="Its sessions there end at once. A key that may use all apps has no list: run `keys:limit` first.",
    examples=("keys:revoke ci blog",),
)
def revoke(name: KeyName, /, *app: Apps, context: Ctx) -> None:
    context.record(name)
    if not app:
        raise UsageError("APP is missing", "for instance: keys:revoke ci shop")
    with context.store.acting_for_all(context.identity):
        key = _limitable(context, name)
        if key.apps is None:
            raise Conflict(
                f"'{name}' may use all apps and has no list",
                f"name the apps that it keeps: keys:limit {name} APP ...",
            )
        gone = _ids(context, app)
        for app_id in gone - key.apps:
            missing = context.store.app_by_id(app_id).name
            raise AlreadyGone(f"'{name}' may not use {missing} anyway", "see `keys:list`; nothing was changed")
        context.store.limit_key(key.id, key.apps - gone)
    _say(context, name)


def _limitable(context: Context, name: str) -> Key:
    key = named(context, name)
    if key.role is Role.ADMIN:
        raise Conflict(
            f"'{name}' is an admin key, which may use all apps",
            "to limit it, remove it and add it again with --role deployer or viewer",
        )
    return key


def _ids(context: Context, names: tuple[str, ...]) -> frozenset[int]:
    return frozenset(context.app(name).id for name in names)


def _say(context: Context, name: str) -> None:
    key = named(context, name)
    if key.apps is None:
        context.line(f"{name} may use all apps")
        return
    names = [app.name for app in context.apps() if app.id in key.apps]
    context.line(f"{name} may use only {', '.join(names)}" if names else f"{name} may use no app")
