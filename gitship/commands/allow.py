"""allow: the networks from which visitors are let in; all others get a page that says so (403)."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from cyclopts import Parameter

from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import AppName, Ctx
from gitship.console.listing import Format, show
from gitship.console.networks import networks, within_limit
from gitship.errors import AlreadyGone, Conflict, UsageError
from gitship.front.gate import Gate
from gitship.model import Role
from gitship.routing.gate_settings import gate_of

Networks = Annotated[str, Parameter(name="CIDR", help="an address or network, IPv4 or IPv6")]


@command(
    "allow:add",
    Role.DEPLOYER,
    "let visitors in from these networks, and, from the first one on, from no others",
    details="What counts is the address that the connection to this server comes from.",
    examples=("allow:add shop 203.0.113.7", "allow:add shop 10.0.0.0/8 2001:db8::/32"),
)
def add(app: AppName, /, *cidrs: Networks, context: Ctx) -> None:
    wanted = _given(cidrs)
    found = context.app(app)

    def added(gate: Gate) -> Gate:
        return replace(gate, allow=within_limit(tuple(dict.fromkeys((*gate.allow, *wanted)))))

    context.record(" ".join(wanted))
    gate = context.operations.gates.change(found, added, context.identity)
    context.line(f"{found.name} is open to {', '.join(gate.allow)} and to no others")


@command(
    "allow:remove",
    Role.DEPLOYER,
    "no longer let visitors in from these networks; the last one stays until `allow:off`",
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
            raise Conflict("no network would be left", f"to open it to everybody: allow:off {found.name}")
        return replace(gate, allow=left)

    context.record(" ".join(unwanted))
    gate = context.operations.gates.change(found, removed, context.identity)
    context.line(f"{found.name} is open to {', '.join(gate.allow)} and to no others")


@command("allow:off", Role.DEPLOYER, "let visitors in from everywhere; forgets the list", examples=("allow:off shop",))
def off(app: AppName, /, *, context: Ctx) -> None:
    found = context.app(app)
    context.operations.gates.change(found, lambda gate: replace(gate, allow=()), context.identity)
    context.line(f"{found.name} is open to everybody")


@command(
    "allow:list",
    Role.VIEWER,
    "the networks from which visitors are let in",
    columns=(Column("network", "address and bits"),),
    examples=("allow:list shop", "allow:list shop --format json"),
    aliases=("allow",),
)
def list_networks(app: AppName, /, *, context: Ctx, format: Format = "table") -> None:
    found = context.app(app)
    rows = [{"network": network} for network in gate_of(context.store, found.id).allow]
    show(context, rows, format, empty="no list: open to everybody")


def _given(cidrs: tuple[str, ...]) -> tuple[str, ...]:
    if not cidrs:
        raise UsageError("CIDR is missing", "give at least one, for instance 203.0.113.7 or 10.0.0.0/8")
    return networks(cidrs)
