"""registry: logins at image registries, for all apps."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from gitship.console import idempotence
from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import Ctx
from gitship.console.listing import Format, show
from gitship.console.prompt import ask, read_all
from gitship.errors import UsageError
from gitship.model import Role

PASSWORD_BYTES = 16 << 10  # some registries take whole JSON keys and tokens

Server = Annotated[
    str, Parameter(name="SERVER", help="the registry's host, as in image names; `default` for Docker Hub")
]


@command(
    "registry:login",
    Role.ADMIN,
    "log in to a registry for all apps; the password is read from standard input",
    details="Stored once the registry accepts it. Prompts on a terminal.",
    examples=("registry:login registry.example.com ci < password.txt",),
)
def login(
    server: Server,
    user: Annotated[str, Parameter(name="USER", help="the user name")],
    /,
    *,
    context: Ctx,
    no_check: Annotated[bool, Parameter(name="--no-check", help="store it without asking the registry")] = False,
) -> None:
    password = _password(context)
    if not password:
        raise UsageError("there is no password on standard input", f"registry:login {server} {user} < password.txt")
    context.record(f"{server} as {user}")
    context.operations.registries.login(server, user, password, context.identity, check=not no_check)
    context.line(f"logged in at {server} as {user}")


def _password(context: Ctx) -> str:
    if context.terminal:
        return ask(context.session, "Password: ", hidden=True)
    return read_all(context.session, PASSWORD_BYTES).removesuffix("\n").removesuffix("\r")


@command("registry:logout", Role.ADMIN, "log out of a registry", examples=("registry:logout registry.example.com",))
def logout(server: Server, /, *, context: Ctx) -> None:
    context.record(server)
    with idempotence.is_done():
        context.operations.registries.logout(server, context.identity)
    context.line(f"logged out of {server}")


@command(
    "registry:list",
    Role.ADMIN,
    "list the registries with a login",
    columns=(Column("server", "the registry's host"), Column("user", "the user name")),
    examples=("registry:list", "registry:list --format json"),
    aliases=("registry",),
)
def list_registries(*, context: Ctx, format: Format = "table") -> None:
    rows = [{"server": r.server, "user": r.username} for r in context.operations.registries.all()]
    show(context, rows, format, empty="no logins; `registry:login SERVER USER` with the password on standard input")
