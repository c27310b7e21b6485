"""redirects: redirect a path or host of an app, before its containers are asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from cyclopts import Parameter

from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import AppName, Context, Ctx
from gitship.console.listing import Format, show
from gitship.console.redirect_targets import named, redirect
from gitship.errors import AlreadyGone, Conflict, NotFound, nearest
from gitship.front.gate import Gate, looping
from gitship.model import App, Role
from gitship.routing.gate_settings import gate_of

MOST_REDIRECTS = 200

Source = Annotated[str, Parameter(name="FROM", help="/path, /path/* for all below it, or a host of the app")]
Target = Annotated[str, Parameter(name="TO", help="/path or http(s)://host[/path]")]
Code = Annotated[Literal["301", "302", "307", "308"], Parameter(name="--code", help="the status")]


@command(
    "redirects:add",
    Role.DEPLOYER,
    "redirect a path or host",
    details=(
        "The part after /path/ is appended to TO. A host keeps path and query; a path keeps its query unless TO "
        "has one. Replaces an existing redirect of FROM. Hosts are matched first, then paths, then the longest "
        "/path/*. 301 and 308 are permanent: browsers remember them. 307 and 308 keep the method."
    ),
    examples=(
        "redirects:add shop /old /new",
        "redirects:add shop '/blog/*' https://blog.example.com",
        "redirects:add shop www.example.com https://example.com --code 308",
    ),
)
def add(app: AppName, source: Source, target: Target, /, *, context: Ctx, code: Code = "301") -> None:
    wanted = redirect(source, target, int(code))
    found = context.app(app)
    hosts = own_hosts(context, found)
    if wanted.is_host and any(d.covers(wanted.source) for d in context.store.domains(found.id)):
        hosts |= {wanted.source}
    if wanted.is_host and wanted.source not in hosts:
        raise NotFound(f"{found.name} does not answer at {wanted.source}", f"domains:add {found.name} {wanted.source}")

    def added(gate: Gate) -> Gate:
        redirects = (*(r for r in gate.redirects if r.source != wanted.source), wanted)
        if len(redirects) > MOST_REDIRECTS:
            raise Conflict(f"more than {MOST_REDIRECTS} redirects", "combine several into one /path/*")
        if (loop := looping(redirects, hosts)) is not None:
            raise Conflict(f"{loop.source} would redirect in a loop", f"see `redirects:list {found.name}`")
        return replace(gate, redirects=redirects)

    context.record(wanted.source)
    context.operations.gates.change(found, added, context.identity)
    context.line(f"{found.name}: {wanted.source} -> {wanted.target} ({wanted.code})")


@command("redirects:remove", Role.DEPLOYER, "stop redirecting a path or host", examples=("redirects:remove shop /old",))
def remove(app: AppName, source: Source, /, *, context: Ctx) -> None:
    unwanted = named(source)
    found = context.app(app)

    def removed(gate: Gate) -> Gate:
        left = tuple(r for r in gate.redirects if r.source != unwanted)
        if left == gate.redirects:
            near = nearest(unwanted, [r.source for r in left])
            hint = f"did you mean '{near}'?" if near else f"see `redirects:list {found.name}`"
            raise AlreadyGone(f"{found.name} does not redirect {unwanted[:80]}", hint)
        return replace(gate, redirects=left)

    context.record(unwanted)
    context.operations.gates.change(found, removed, context.identity)
    context.line(f"{found.name} no longer redirects {unwanted}")


@command(
    "redirects:list",
    Role.VIEWER,
    "list an app's redirects",
    columns=(
        Column("from", "a path, /path/*, or a host"),
        Column("to", "the target"),
        Column("code", "the status"),
    ),
    examples=("redirects:list shop", "redirects:list shop --format json"),
    aliases=("redirects",),
)
def list_redirects(app: AppName, /, *, context: Ctx, format: Format = "table") -> None:
    found = context.app(app)
    redirects = sorted(gate_of(context.store, found.id).redirects, key=lambda r: r.source)
    show(context, [{"from": r.source, "to": r.target, "code": r.code} for r in redirects], format, empty="none")


def own_hosts(context: Context, app: App) -> frozenset[str]:
    return frozenset({f"{app.name}.{context.settings.domain}", *(d.name for d in context.store.domains(app.id))})
