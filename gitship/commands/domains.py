"""domains: the host names that lead to an app, beside `<app>.<server's domain>`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import AppName, Context, Ctx
from gitship.console.host_names import domain_pattern
from gitship.console.listing import Format, show
from gitship.errors import AlreadyGone, Conflict, UsageError, nearest
from gitship.model import WILDCARD, App, Role
from gitship.routing import hostnames

DomainName = Annotated[
    str, Parameter(name="DOMAIN", help="a host name, or *.example.com for all just below one; there may be several")
]


@command(
    "domains:add",
    Role.DEPLOYER,
    "lead a host name to an app",
    details="*.example.com leads each name with one more label to the app, as a certificate for it would cover it; "
    "names that an app has by themselves come first. A wildcard below the server's own domain needs the role admin; "
    "names directly below it belong to apps, each to the one that is called so.",
    examples=("domains:add shop www.example.com", "domains:add shop example.com '*.example.com'"),
)
def add(app: AppName, /, *domains: DomainName, context: Ctx) -> None:
    names = _named(context, domains)
    found = context.app(app)
    before = {domain.name for domain in context.store.domains(found.id)} | {f"{found.name}.{context.settings.domain}"}
    added = [name for name in names if name not in before]
    for name in added:  # all are looked at before the first is added
        _refuse_taken(context, found, name)
    for name in added:
        context.operations.add_domain(found, name, context.identity)
        context.line(f"added {name} to {found.name}")
    if not added:
        context.note("it is so already: nothing to do")


def _named(context: Context, domains: tuple[str, ...]) -> list[str]:
    """One at least. Raises UsageError, NoPermission for the server's own wildcard."""
    if not domains:
        raise UsageError("DOMAIN is missing", f"for instance: {context.command.name} shop www.example.com")
    return _patterns(context, domains)


def _patterns(context: Context, domains: tuple[str, ...]) -> list[str]:
    names = list(dict.fromkeys(domain_pattern(domain) for domain in domains))
    context.record(" ".join(names))
    everywhere = f"{WILDCARD}{context.settings.domain}"
    if everywhere in names:
        context.require(Role.ADMIN, f"{everywhere}, where apps have their own names")
    return names


def _refuse_taken(context: Context, app: App, name: str) -> None:
    """Raises Conflict."""
    below = f".{context.settings.domain}"
    owner = context.store.find_app(name.removesuffix(below)) if name.endswith(below) else None
    if owner is None or not context.identity.sees(owner.id):  # else it says more
        hostnames.ensure_addable(context.store, context.settings, app, name)
    if owner is None:
        owners = {domain.name: domain.app_id for domain in context.store.domains()}
        owner = context.store.app_by_id(owners[name]) if name in owners else None
    if owner and owner.id == app.id:
        raise Conflict(f"{app.name} has {name} already", f"see `domains:list {app.name}`")
    if owner:
        whose = f"the app '{owner.name}'" if context.identity.sees(owner.id) else "another app"
        raise Conflict(f"{name} leads to {whose}", "choose another name, or remove it there first")


@command(
    "domains:set",
    Role.DEPLOYER,
    "lead exactly these host names to an app, beside its own",
    details="What it has and is not named is removed; none at all removes every one.",
    examples=("domains:set shop www.example.com example.com", "domains:set shop"),
)
def set_domains(
    app: AppName,
    /,
    *domains: DomainName,
    context: Ctx,
) -> None:
    wanted = _patterns(context, domains)
    found = context.app(app)
    before = [domain.name for domain in context.store.domains(found.id)]
    added, gone = [n for n in wanted if n not in before], [n for n in before if n not in wanted]
    for name in added:
        _refuse_taken(context, found, name)
    for name in added:  # first: a visitor of a name that stays, or moves to the app, notices nothing
        context.operations.add_domain(found, name, context.identity)
        context.line(f"added {name} to {found.name}")
    for name in gone:
        context.operations.remove_domain(found, name, context.identity)
        context.line(f"removed {name} from {found.name}")
    if not added and not gone:
        context.note("it is so already: nothing to do")


@command(
    "domains:remove",
    Role.DEPLOYER,
    "stop leading a host name to an app",
    examples=("domains:remove shop www.example.com",),
)
def remove(app: AppName, /, *domains: DomainName, context: Ctx) -> None:
    names = _named(context, domains)
    found = context.app(app)
    there = {domain.name for domain in context.store.domains(found.id)}
    for name in names:  # all are looked at before the first is removed
        if name == f"{found.name}.{context.settings.domain}":
            raise Conflict(f"{name} is the app's own name and stays", "an app always answers there")
        if name not in there:
            near = nearest(name, there)
            hint = f"did you mean '{near}'?" if near else f"see `domains:list {found.name}`"
            raise AlreadyGone(f"{found.name} has no domain '{name}'", hint)
    for name in names:
        context.operations.remove_domain(found, name, context.identity)
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
