"""allow: restrict an app to visitors from some networks; others get a 403 page."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from cyclopts import Parameter

from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import AppName, Ctx
from gitship.console.ip_networks import networks, within_limit
from gitship.console.listing import Format, show
from gitship.errors import AlreadyGone, Conflict, UsageError
from gitship.front.gate import Gate
from gitship.model import Role
from gitship.routing.gate_settings import gate_of

Networks = Annotated[str, Parameter(name="CIDR", help="an address or network, IPv4 or IPv6")]


@command(
    "allow:add",
    Role.DEPLOYER,
    "allow visitors from these networks only; adds to the list",
    details="The address checked is that of the connection to this server.",
    examples=("allow:add shop 203.0.113.7", "allow:add shop 10.0.0.0/8 2001:db8::/32"),
)
def add(app: AppName, /, *cidrs: Networks, context: Ctx) -> None:
    wanted = _given(cidrs)
    found = context.app(app)

    def added(gate: Gate) -> Gate:
        return replace(gate, allow=within_limit(tuple(dict.fromkeys((*gate.allow, *wanted)))))

    context.record(" ".join(wanted))
    gate = context.operations.gates.change(found, added, context.identity)
    context.line(f"{found.name} is open only to {', '.join(gate.allow)}")


@command(
    "allow:remove",
    Role.DEPLOYER,
    "remove networks from the list; the last one stays until `allow:off`",
    examples=("allow:remove shop 10.0.0.0/8",),
)
def remove(app: AppName, /, *cidrs: Networks, context: Ctx) -> None:
    unwanted = _given(cidrs)
    found = context.app(app)

    def removed(gate: Gate) -> Gate:
        for network in unwanted:
            if network not in gate.allow:
                raise AlreadyGone(f"{network} is not on {found.name}'s list", f"see `allow:list {found.name}`")
        left = tuple(n for n in gate.allow if n not in unwanted)
        if not left:
            raise Conflict("no network would be left", f"to allow everyone: allow:off {found.name}")
        return replace(gate, allow=left)

    context.record(" ".join(unwanted))
    gate = context.operations.gates.change(found, removed, context.identity)
    context.line(f"{found.name} is open only to {', '.join(gate.allow)}")


@command("allow:off", Role.DEPLOYER, "allow visitors from everywhere, and clear the list", examples=("allow:off shop",))
def off(app: AppName, /, *, context: Ctx) -> None:
    found = context.app(app)
    context.operations.gates.change(found, lambda gate: replace(gate, allow=()), context.identity)
    context.line(f"{found.name} is open to everyone")


@command(
    "allow:list",
    Role.VIEWER,
    "list the networks that visitors may come from",
    columns=(Column("network", "address and bits"),),
    examples=("allow:list shop", "allow:list shop --format json"),
    aliases=("allow",),
)
def list_networks(app: AppName, /, *, context: Ctx, format: Format = "table") -> None:
    found = context.app(app)
    rows = [{"network": network} for network in gate_of(context.store, found.id).allow]
    show(context, rows, format, empty="no list: open to everyone")


def _given(cidrs: tuple[str, ...]) -> tuple[str, ...]:
    if not cidrs:
        raise UsageError("CIDR is missing", "give at least one, for instance 203.0.113.7 or 10.0.0.0/8")
    return networks(cidrs)
