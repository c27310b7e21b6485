"""keys: SSH keys that may log in, and their roles."""

from __future__ import annotations

import re
from typing import Annotated

from cyclopts import Parameter

from gitship import public_key
from gitship.console import idempotence
from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import Context, Ctx
from gitship.console.listing import Format, moment, show
from gitship.console.prompt import ask, read_all
from gitship.console.visible_apps import NO_APPS
from gitship.errors import Conflict, NotFound, UsageError, nearest
from gitship.model import App, Key, Role

KEY_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._@+-]{0,62}[A-Za-z0-9])?")
KEY_TEXT_BYTES = 16 * 1024  # an RSA key of 16,384 bits takes 2.8 kB

KeyName = Annotated[str, Parameter(name="NAME", help="the key's name, for example its owner's")]
KeyText = Annotated[str, Parameter(name="KEY", help="the public key (default: read from standard input)")]


@command(
    "keys:add",
    Role.ADMIN,
    "add a public key that may log in",
    details="Roles: viewer may look, deployer may also push and run apps, admin may also manage keys and destroy "
    "apps. --app limits the key to those apps: it cannot see other apps or create any. With --no-apps it "
    "may use none until `keys:grant`; the same holds for a key whose apps were all destroyed.",
    examples=(
        "keys:add ada < ~/.ssh/id_ed25519.pub",
        "keys:add ci --role deployer ssh-ed25519 AAAAC3...",
        "keys:add guest --role viewer --app shop --app blog < guest.pub",
    ),
)
def add(
    name: KeyName,
    /,
    *key: KeyText,
    context: Ctx,
    role: Annotated[Role, Parameter(name="--role", help="what it may do")] = Role.DEPLOYER,
    app: Annotated[
        list[str] | None, Parameter(name="--app", metavar="APP", help="limit it to this app; may be repeated")
    ] = None,
    no_apps: Annotated[bool, Parameter(name=NO_APPS, help="allow no apps yet")] = False,
) -> None:
    context.record(f"{name} as {role}")
    if not KEY_NAME.fullmatch(name):
        raise UsageError(
            f"'{name[:80]}' is not a key name", "use letters, digits and . _ @ + -, at most 64, as in 'ada@laptop'"
        )
    apps = limit_of(context, app, no_apps)
    limit = None if apps is None else {found.id for found in apps}
    if limit is not None and role is Role.ADMIN:
        raise UsageError("an admin key cannot be limited to some apps", "choose the role deployer or viewer")
    if key:
        _refuse_apps(context, name, key)
        text = " ".join(key)
    elif context.terminal:
        text = ask(context.session, "Public key: ")
    else:
        text = read_all(context.session, KEY_TEXT_BYTES)
    parsed = public_key.parse(text)
    there = next((k for k in context.store.keys() if k.name == name), None)  # noqa: SIM118
    if there and (there.fingerprint, there.role, there.apps) == (parsed.fingerprint, role, limit):
        context.note("no change")
        return
    with context.store.acting_for_all(context.identity):
        for app_id in limit or ():
            context.store.app_by_id(app_id)  # one may have been destroyed while the key was read
        added = context.store.add_key(name, parsed.fingerprint, parsed.line, role, limit)
    only = "" if limit is None else f", only for {_apps_text(_app_names(context, added))}" if limit else ", for no app"
    context.line(f"added {added.name} as {added.role}, {added.fingerprint}{only}")


def limit_of(context: Context, apps: list[str] | None, no_apps: bool) -> set[App] | None:
    """The apps that something is limited to; None is no limit. Raises UsageError, or NotFound."""
    if apps and no_apps:
        raise UsageError(f"give --app, or {NO_APPS}", "an app, or none")
    return {context.app(name) for name in apps} if apps else set() if no_apps else None


def _refuse_apps(context: Context, name: str, words: tuple[str, ...]) -> None:
    """Raises UsageError for names of apps where the key's text is to be."""
    if context.store.find_app(words[0]) is not None:
        raise UsageError(
            f"'{words[0][:80]}' is an app, not a public key",
            f"limit the key to it by: keys:add {name} --app {words[0]} < {name}.pub",
        )


def _app_names(context: Context, key: Key) -> list[str] | None:
    return None if key.apps is None else [app.name for app in context.apps() if app.id in key.apps]


def _apps_text(names: list[str] | None) -> str:
    return "all" if names is None else ", ".join(names) or "none"


@command(
    "keys:list",
    Role.ADMIN,
    "list the keys that may log in",
    columns=(
        Column("name", "the key's name"),
        Column("role", "viewer, deployer or admin"),
        Column("apps", "the apps it is limited to, null for all", _apps_text),
        Column("fingerprint", "as `ssh-keygen -l` prints it"),
        Column("public_key", "type and base64", json_only=True),
        Column("created_at", "when it was added"),
    ),
    examples=("keys:list", "keys:list --format json"),
    aliases=("keys",),
)
def list_keys(*, context: Ctx, format: Format = "table") -> None:
    rows = [
        {
            "name": key.name,
            "role": key.role.value,
            "apps": _app_names(context, key),
            "fingerprint": key.fingerprint,
            "public_key": key.public_key,
            "created_at": moment(key.created_at),
        }
        for key in context.store.keys()  # noqa: SIM118
    ]
    show(context, rows, format, empty="no keys")


@command(
    "keys:remove",
    Role.ADMIN,
    "remove a key; the last admin key cannot be removed",
    details="Its sessions end at once: shells, logs, one-off commands, pushes, pages. Its deploys that are not "
    "live yet fail. Detached commands and cron runs go on.",
    examples=("keys:remove ci",),
)
def remove(name: KeyName, /, *, context: Ctx) -> None:
    context.record(name)
    with context.store.acting_for_all(context.identity):  # two removals at once must not leave no admin
        with idempotence.is_done():
            key = named(context, name)
        admins = [key.name for key in context.store.keys() if key.role is Role.ADMIN]  # noqa: SIM118
        if admins == [name]:
            raise Conflict(f"'{name}' is the last admin key", "add another with `keys:add NAME --role admin` first")
        context.store.remove_key(key.id)
    context.line(f"removed {name}")


def named(context: Context, name: str) -> Key:
    """The key of that name. Raises NotFound with the nearest name."""
    keys = {key.name: key for key in context.store.keys()}  # noqa: SIM118
    if name not in keys:
        near = nearest(name, keys)
        raise NotFound(f"no key named '{name[:80]}'", f"did you mean '{near}'?" if near else "see `keys:list`")
    return keys[name]
