"""domains: the host names that route to an app, besides `<app>.<server's domain>`."""

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

DomainName = Annotated[str, Parameter(name="DOMAIN", help="a host name, or *.example.com; may be repeated")]


@command(
    "domains:add",
    Role.DEPLOYER,
    "route a host name to an app",
    details="*.example.com routes each name with one more label, as a wildcard certificate covers them; exact "
    "names take precedence. A wildcard below the server's domain needs the role admin. Names directly "
    "below the server's domain belong to the app of that name.",
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
        context.operations.domains.add(found, name, context.identity)
        context.line(f"added {name} to {found.name}")
    if not added:
        context.note("no change")


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
        context.require(Role.ADMIN, f"{everywhere}, which holds the apps' own names")
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
        raise Conflict(f"{name} belongs to {whose}", "choose another name, or remove it there first")


@command(
    "domains:set",
    Role.DEPLOYER,
    "route exactly these host names to an app, besides its own",
    details="Removes all others. Without a name, removes every one.",
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
        context.operations.domains.add(found, name, context.identity)
        context.line(f"added {name} to {found.name}")
    for name in gone:
        context.operations.domains.remove(found, name, context.identity)
        context.line(f"removed {name} from {found.name}")
    if not added and not gone:
        context.note("no change")


@command(
    "domains:remove",
    Role.DEPLOYER,
    "stop routing a host name to an app",
    examples=("domains:remove shop www.example.com",),
)
def remove(app: AppName, /, *domains: DomainName, context: Ctx) -> None:
    names = _named(context, domains)
    found = context.app(app)
    there = {domain.name for domain in context.store.domains(found.id)}
    for name in names:  # all are looked at before the first is removed
        if name == f"{found.name}.{context.settings.domain}":
            raise Conflict(f"cannot remove {name}: it is the app's own name", "every app answers at its own name")
        if name not in there:
            near = nearest(name, there)
            hint = f"did you mean '{near}'?" if near else f"see `domains:list {found.name}`"
            raise AlreadyGone(f"{found.name} has no domain '{name}'", hint)
    for name in names:
        context.operations.domains.remove(found, name, context.identity)
        context.line(f"removed {name} from {found.name}")


@command(
    "domains:list",
    Role.VIEWER,
    "list an app's host names",
    columns=(
        Column("domain", "the host name"),
        Column("own", "true for `<app>.<server's domain>`, which every app has"),
    ),
    examples=("domains:list shop", "domains:list shop --format json"),
    aliases=("domains",),
)
def list_domains(app: AppName, /, *, context: Ctx, format: Format = "table") -> None:
    found = context.app(app)
    rows: list[dict[str, object]] = [{"domain": f"{found.name}.{context.settings.domain}", "own": True}]
    rows += [{"domain": domain.name, "own": False} for domain in context.store.domains(found.id)]
    show(context, rows, format, empty="none")
