"""ratelimit and bodylimit: limits for visitors' requests, enforced by Varnish."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Literal

from cyclopts import Parameter

from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import AppName, Context, Ctx
from gitship.console.durations import rate_seconds
from gitship.console.listing import Format, show_one
from gitship.console.sizes import shown_memory
from gitship.errors import UsageError
from gitship.front.gate import Gate
from gitship.front.visitor_limits import (
    COUNTED_BYTES,
    MOST_BYTES,
    MOST_REQUESTS,
    Rate,
    VisitorLimits,
)
from gitship.model import App, Role
from gitship.routing.gate_settings import gate_of
from gitship.schema import Value

Requests = Annotated[int, Parameter(name="--requests", metavar="N", help="requests per period")]
Period = Annotated[str, Parameter(name="--per", metavar="TIME", help="the period: 10s, 1m, 1h; 1s to 1d")]
By = Annotated[Literal["ip", "all"], Parameter(name="--by", help="count per address, or for all visitors together")]
Size = Annotated[str, Parameter(name="SIZE", help="the largest body, for instance 100m or 1g")]


@command(
    "ratelimit:set",
    Role.DEPLOYER,
    "limit the request rate; answer 429 above it",
    details="Every request counts, including cached pages and images, so leave room. Clients are told apart by "
    "the address of the connection to this server: behind another proxy all visitors share one. Needs "
    "Debian's varnish-modules on the server. A restart of Varnish resets the count; a deploy does not.",
    examples=(
        "ratelimit:set shop --requests 100 --per 10s",
        "ratelimit:set shop --requests 5000 --per 1m --by all",
    ),
)
def set_rate(app: AppName, /, *, context: Ctx, requests: Requests, per: Period = "10s", by: By = "ip") -> None:
    if not 1 <= requests <= MOST_REQUESTS:
        raise UsageError(f"{requests} is not a valid number of requests", f"1 to {MOST_REQUESTS}")
    rate = Rate(requests, rate_seconds(per), by)
    found = context.app(app)
    context.operations.gates.ensure_rates()
    _change(context, found, lambda limits: replace(limits, rate=rate))
    context.line(f"{found.name} accepts {requests} requests in {per} {_whose(rate)}")


def _whose(rate: Rate) -> str:
    return "from one address" if rate.by == "ip" else "in all"


@command("ratelimit:off", Role.DEPLOYER, "remove the rate limit", examples=("ratelimit:off shop",))
def no_rate(app: AppName, /, *, context: Ctx) -> None:
    found = context.app(app)
    _change(context, found, lambda limits: replace(limits, rate=None))
    context.line(f"{found.name} has no rate limit")


@command(
    "ratelimit:show",
    Role.VIEWER,
    "show an app's rate limit",
    one=True,
    columns=(
        Column("requests", "requests per period, null for no limit"),
        Column("per_s", "the period in seconds"),
        Column("by", "ip (per address) or all (all visitors together)"),
    ),
    examples=("ratelimit:show shop", "ratelimit:show shop --format json"),
    aliases=("ratelimit",),
)
def show_rate(app: AppName, /, *, context: Ctx, format: Format = "table") -> None:
    rate = gate_of(context.store, context.app(app).id).limits.rate
    row = {
        "requests": rate.requests if rate else None,
        "per_s": rate.per_s if rate else None,
        "by": rate.by if rate else None,
    }
    show_one(context, row, format)


@command(
    "bodylimit:set",
    Role.DEPLOYER,
    "answer 413 to requests with a larger body",
    details="Checked by Content-Length, before the request reaches the app. A chunked body has no length and is "
    f"counted in memory: it is accepted up to about {COUNTED_BYTES >> 20} MB, or the limit if lower; "
    "beyond that Varnish closes the connection without an answer. Websocket traffic does not count.",
    examples=("bodylimit:set shop 100m",),
)
def set_body(app: AppName, size: Size, /, *, context: Ctx) -> None:
    most = Value("bodylimit:set", "SIZE", size).size(0)
    if most >= MOST_BYTES:
        raise UsageError(f"{size[:80]} is too large for a limit", f"bodylimit:off {app[:80]}")
    found = context.app(app)
    _change(context, found, lambda limits: replace(limits, body_bytes=most))
    context.line(f"{found.name} accepts bodies of up to {shown_memory(most)}")


@command("bodylimit:off", Role.DEPLOYER, "accept request bodies of any size", examples=("bodylimit:off shop",))
def no_body(app: AppName, /, *, context: Ctx) -> None:
    found = context.app(app)
    _change(context, found, lambda limits: replace(limits, body_bytes=None))
    context.line(f"{found.name} accepts bodies of any size")


@command(
    "bodylimit:show",
    Role.VIEWER,
    "show the largest request body that an app accepts",
    one=True,
    columns=(Column("body_bytes", "in bytes, null for any size", shown_memory),),
    examples=("bodylimit:show shop", "bodylimit:show shop --format json"),
    aliases=("bodylimit",),
)
def show_body(app: AppName, /, *, context: Ctx, format: Format = "table") -> None:
    most = gate_of(context.store, context.app(app).id).limits.body_bytes
    show_one(context, {"body_bytes": most}, format)


def _change(context: Context, app: App, change: Callable[[VisitorLimits], VisitorLimits]) -> None:
    def changed(gate: Gate) -> Gate:
        return replace(gate, limits=change(gate.limits))

    context.operations.gates.change(app, changed, context.identity)
