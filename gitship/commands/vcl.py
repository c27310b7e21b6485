"""vcl: custom VCL of an app, called at fixed points of the generated VCL."""

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
    "add custom VCL for an app, from standard input",
    details=f"Define any of {', '.join(HOOKS)}: app_recv runs after passwords and limits, app_backend_response "
    "before gitship's caching rules (end it with return (deliver) to skip them). It may also contain "
    "backends, ACLs, other subs that begin with app_, vcl_init, and imports of Varnish's modules; not "
    "include, inline C, restart, ban or return (vcl()). It is compiled first: VCL that does not compile "
    "changes nothing, and no other app is affected. It can reach any address, so it is for admins.",
    examples=("vcl:set shop < shop.vcl",),
)
def set_vcl(app: AppName, /, *, context: Ctx) -> None:
    found = context.app(app)
    text = read_all(context.session, MOST_BYTES)
    if not text.strip():
        raise GitshipError("the VCL on standard input is empty", f"to remove it: vcl:unset {found.name}")
    try:
        text = checked(text)
    except ValueError as error:
        raise GitshipError(f"this is not valid as custom VCL: {error}", "see `help vcl:set`") from None
    gates = context.operations.gates
    gates.try_vcl(found, text)
    gates.change(found, lambda gate: replace(gate, vcl=text), context.identity)
    context.line(f"{found.name} has custom VCL, {text.count(chr(10))} lines")


@command("vcl:unset", Role.ADMIN, "remove an app's custom VCL", examples=("vcl:unset shop",))
def unset_vcl(app: AppName, /, *, context: Ctx) -> None:
    found = context.app(app)
    context.operations.gates.change(found, lambda gate: replace(gate, vcl=""), context.identity)
    context.line(f"{found.name} has no custom VCL")


@command("vcl:show", Role.VIEWER, "show an app's custom VCL", examples=("vcl:show shop",))
def show_vcl(app: AppName, /, *, context: Ctx) -> None:
    found = context.app(app)
    text = gate_of(context.store, found.id).vcl
    if not text:
        raise NotFound(f"{found.name} has no custom VCL", f"vcl:set {found.name} < snippet.vcl")
    for line in text.splitlines():
        context.foreign_line(line)
