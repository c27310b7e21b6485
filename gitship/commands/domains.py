"""domains: the host names that lead to an app, beside `<app>.<server's domain>`."""

from __future__ import annotations

from typing import Annotated

import idna
from cyclopts import Parameter

from gitship.commands.context import AppName, Context, Ctx
from gitship.commands.listing import Format, show
from gitship.commands.registry import Column, command
from gitship.errors import Conflict, GitshipError
from gitship.model import DOMAIN_NAME, App, Role

DomainName = Annotated[str, Parameter(name="DOMAIN", help="a host name, for instance shop.example.com")]


def domain_name(text: str) -> str:
    """``text`` as DNS knows it: lower-case, without a final dot, other scripts than Latin in punycode (IDNA 2008).

    Raises GitshipError.
    """
    hint = "give a host name alone, for instance shop.example.com"
    name = text.strip().removesuffix(".")
    if "*" in name:
        raise GitshipError(f"'{text[:80]}' is a wildcard, which no app can have", "add each host name by itself")
    if "/" in name or ":" in name:
        raise GitshipError(f"'{text[:80]}' is more than a host name", f"{hint}, without http://, port or path")
    try:
        name = name.lower() if name.isascii() else idna.encode(name, uts46=True).decode("ascii")
    except idna.IDNAError as error:
        raise GitshipError(f"'{text[:80]}' is not a host name: {error}", hint) from None
    if not DOMAIN_NAME.fullmatch(name):
        raise GitshipError(f"'{text[:80]}' is not a host name", hint)
    if name.rpartition(".")[2].isdigit():  # the last label of a name is never a number (RFC 3696, section 2)
        raise GitshipError(f"'{text[:80]}' is an address, not a host name", hint)
    return name


@command(
    "domains:add",
    Role.DEPLOYER,
    "lead a host name to an app",
    examples=("domains:add shop www.example.com",),
)
def add(app: AppName, domain: DomainName, /, *, context: Ctx) -> None:
    name = domain_name(domain)
    found = context.app(app)
    _refuse_taken(context, found, name)
    context.operations.add_domain(found.name, name)
    context.line(f"added {name} to {found.name}")


def _refuse_taken(context: Context, app: App, name: str) -> None:
    below = f".{context.settings.domain}"
    if name == f"{app.name}{below}":
        raise Conflict(f"{app.name} answers at {name} anyway", "there is nothing to add")
    owner = context.store.find_app(name.removesuffix(below)) if name.endswith(below) else None
    if owner is None:
        owners = {domain.name: domain.app_id for domain in context.store.domains()}
        owner = context.store.app_by_id(owners[name]) if name in owners else None
    if owner and owner.id == app.id:
        raise Conflict(f"{app.name} has {name} already", f"see `domains:list {app.name}`")
    if owner:
        whose = f"the app '{owner.name}'" if context.identity.sees(owner.id) else "another app"
        raise Conflict(f"{name} leads to {whose}", "choose another name, or remove it there first")


@command(
    "domains:remove",
    Role.DEPLOYER,
    "stop leading a host name to an app",
    examples=("domains:remove shop www.example.com",),
)
def remove(app: AppName, domain: DomainName, /, *, context: Ctx) -> None:
    name = domain_name(domain)
    found = context.app(app)
    if name == f"{found.name}.{context.settings.domain}":
        raise Conflict(f"{name} is the app's own name and stays", "an app always answers there")
    context.operations.remove_domain(found.name, name)
    context.line(f"removed {name} from {found.name}")


@command(
    "domains:list",
    Role.VIEWER,
    "an app's host names",
    columns=(
        Column("domain", "the host name"),
        Column("own", "true for `<app>.<server's domain>`, which the app always has"),
    ),
    examples=("domains:list shop", "domains:list shop --format json"),
    aliases=("domains",),
)
def list_domains(app: AppName, /, *, context: Ctx, format: Format = "table") -> None:
    found = context.app(app)
    rows: list[dict[str, object]] = [{"domain": f"{found.name}.{context.settings.domain}", "own": True}]
    rows += [{"domain": domain.name, "own": False} for domain in context.store.domains(found.id)]
    show(context, rows, format, empty="none")
