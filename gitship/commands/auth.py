"""auth: require a user name and password from an app's visitors (HTTP Basic)."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import replace
from typing import Annotated

from cyclopts import Parameter

from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import AppName, Context, Ctx
from gitship.console.listing import Format, show
from gitship.console.prompt import ask, read_all
from gitship.errors import AlreadyGone, Conflict, GitshipError, UsageError, nearest
from gitship.front.gate import Gate, Login
from gitship.model import Role
from gitship.routing.gate_settings import gate_of

MOST_USERS = 100
PASSWORD_BYTES = 1024
USER = re.compile(r"[^\x00-\x1f\x7f-\x9f:\s](?:[^\x00-\x1f\x7f-\x9f:]{0,62}[^\x00-\x1f\x7f-\x9f:\s])?")

UserName = Annotated[str, Parameter(name="USER", help="the name to sign in with, without a colon")]


@command(
    "auth:set",
    Role.DEPLOYER,
    "require a name and password; the password is read from a prompt or standard input",
    details=(
        "Varnish checks it before the cache; the app does not receive the password. Varnish cannot hash: the "
        "password is stored base64-encoded in the server's database and Varnish's files, readable only by root "
        "and Varnish's user, and is not compared in constant time. Use a long random password that is used "
        "nowhere else, and HTTPS."
    ),
    examples=("auth:set shop ada", "auth:set shop ada < password.txt"),
)
def set_password(app: AppName, user: UserName, /, *, context: Ctx) -> None:
    if not USER.fullmatch(user):
        raise UsageError(
            f"'{user[:80]}' cannot be a user's name", "1 to 64 characters without ':' or control characters"
        )
    found = context.app(app)
    login = Login(user, b64encode(f"{user}:{_password(context, user)}".encode()).decode())

    def added(gate: Gate) -> Gate:
        logins = (*(known for known in gate.logins if known.user != user), login)
        if len(logins) > MOST_USERS:
            raise Conflict(f"more than {MOST_USERS} users", "let several people share one, or let the app ask itself")
        return replace(gate, logins=logins)

    context.record(user)
    context.operations.gates.change(found, added, context.identity)
    context.line(f"{user} can sign in to {found.name}; a password is now required")


def _password(context: Context, user: str) -> str:
    if context.terminal:
        password = ask(context.session, f"Password for {user}: ", hidden=True)
        if password and ask(context.session, "Again: ", hidden=True) != password:
            raise GitshipError("the passwords do not match: nothing was changed")
    else:
        password = read_all(context.session, PASSWORD_BYTES).removesuffix("\n").removesuffix("\r")
    if not password:
        raise GitshipError("the password is empty", "type one at the prompt (`ssh -t`), or send it on standard input")
    if len(password.encode()) > PASSWORD_BYTES or re.search(r"[\x00-\x1f\x7f-\x9f]", password):
        raise GitshipError("no browser can send this password", f"one line of at most {PASSWORD_BYTES} bytes")
    return password


@command(
    "auth:remove",
    Role.DEPLOYER,
    "remove a user; the last one stays until `auth:off`",
    examples=("auth:remove shop ada",),
)
def remove(app: AppName, user: UserName, /, *, context: Ctx) -> None:
    found = context.app(app)

    def removed(gate: Gate) -> Gate:
        left = tuple(login for login in gate.logins if login.user != user)
        if left == gate.logins:
            near = nearest(user, [login.user for login in left])
            hint = f"did you mean '{near}'?" if near else f"see `auth:list {found.name}`"
            raise AlreadyGone(f"{found.name} has no user '{user[:80]}'", hint)
        if not left:
            raise Conflict(f"{user} is the last user", f"to let everyone in: auth:off {found.name}")
        return replace(gate, logins=left)

    context.record(user[:80])
    context.operations.gates.change(found, removed, context.identity)
    context.line(f"{user} can no longer sign in to {found.name}")


@command("auth:off", Role.DEPLOYER, "stop asking for a password, and remove all users", examples=("auth:off shop",))
def off(app: AppName, /, *, context: Ctx) -> None:
    found = context.app(app)
    context.operations.gates.change(found, lambda gate: replace(gate, logins=()), context.identity)
    context.line(f"{found.name} no longer asks for a password")


@command(
    "auth:list",
    Role.VIEWER,
    "list the users who can sign in to an app",
    columns=(Column("user", "the name to sign in with"),),
    examples=("auth:list shop", "auth:list shop --format json"),
    aliases=("auth",),
)
def list_users(app: AppName, /, *, context: Ctx, format: Format = "table") -> None:
    found = context.app(app)
    rows = [{"user": login.user} for login in gate_of(context.store, found.id).logins]
    show(context, rows, format, empty="no users: no password is required")
