"""vcl: an app's own VCL, called at fixed points of the VCL that gitship writes for it."""

from __future__ import annotations

from dataclasses import replace

from gitship.console.command_registry import command
from gitship.console.context import AppName, Ctx
from gitship.console.prompt import read_all
from gitship.errors import GitshipError, NotFound
from gitship.front.custom_vcl import HOOKS, MOST_BYTES, checked
from gitship.model import Role
from gitship.routing.gate_settings import gate_of


@command(
    "vcl:set",
    Role.ADMIN,
    "put an app's own VCL, from standard input, into the one that gitship writes for it",
    details=f"Define any of {', '.join(HOOKS)}: each is called at its point, app_recv after passwords and limits, "
    "app_backend_response before gitship's rules of what is kept (end it with return (deliver) to go past them). "
    "Backends, ACLs, further subs that begin with app_, vcl_init, and imports of Varnish's modules may stand beside "
    "them; not: include, inline C, restart, ban, return (vcl()). It is compiled first, with the app's own limits and "
    "gate: what does not compile changes nothing, and no other app is touched. It can reach any address, so it is for "
    "admins.",
    examples=("vcl:set shop < shop.vcl",),
)
def set_vcl(app: AppName, /, *, context: Ctx) -> None:
    found = context.app(app)
    text = read_all(context.session, MOST_BYTES)
    if not text.strip():
        raise GitshipError("the VCL on standard input is empty", f"to take it away: vcl:unset {found.name}")
    try:
        text = checked(text)
    except ValueError as error:
        raise GitshipError(f"this cannot be an app's own VCL: {error}", "see `help vcl:set`") from None
    gates = context.operations.gates
    gates.try_vcl(found, text)
    gates.change(found, lambda gate: replace(gate, vcl=text), context.identity)
    context.line(f"{found.name} has its own VCL, {text.count(chr(10))} lines")


@command("vcl:unset", Role.ADMIN, "take an app's own VCL away", examples=("vcl:unset shop",))
def unset_vcl(app: AppName, /, *, context: Ctx) -> None:
    found = context.app(app)
    context.operations.gates.change(found, lambda gate: replace(gate, vcl=""), context.identity)
    context.line(f"{found.name} has no VCL of its own")


@command("vcl:show", Role.VIEWER, "an app's own VCL", examples=("vcl:show shop",))
def show_vcl(app: AppName, /, *, context: Ctx) -> None:
    found = context.app(app)
    text = gate_of(context.store, found.id).vcl
    if not text:
        raise NotFound(f"{found.name} has no VCL of its own", f"vcl:set {found.name} < snippet.vcl")
    for line in text.splitlines():
        context.foreign_line(line)
