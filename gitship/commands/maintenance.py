"""maintenance: a 503 page for all visitors while an app is in maintenance."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from cyclopts import Parameter

from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import AppName, Context, Ctx
from gitship.console.ip_networks import networks, within_limit
from gitship.console.listing import Format, show, show_one
from gitship.console.prompt import read_all
from gitship.errors import GitshipError, UsageError
from gitship.front.gate import PAGE_BYTES, Maintenance
from gitship.model import App, Role
from gitship.routing.gate_settings import gate_of


@command(
    "maintenance:on",
    Role.DEPLOYER,
    "turn maintenance mode on: answer visitors with a 503 page; deploys still work",
    details="Sent with Retry-After. Run it again to replace page and addresses. The app still answers requests "
    "in progress.",
    examples=(
        "maintenance:on shop",
        "maintenance:on shop --page - < closed.html",
        "maintenance:on shop --allow 203.0.113.7 --allow 10.0.0.0/8",
    ),
)
def on(
    app: AppName,
    /,
    *,
    context: Ctx,
    page: Annotated[
        str | None,
        Parameter(
            name="--page", metavar="-", allow_leading_hyphen=True, help="HTML from standard input, at most 256 KiB"
        ),
    ] = None,
    allow: Annotated[
        tuple[str, ...],
        Parameter(
            name="--allow", metavar="CIDR", help="an address or network that still sees the app; may be repeated"
        ),
    ] = (),
) -> None:
    allowed = within_limit(networks(allow))
    if page not in (None, "-"):
        raise UsageError("--page takes only '-'", f"send the file: maintenance:on {app[:80]} --page - < page.html")
    found = context.app(app)
    text = read_all(context.session, PAGE_BYTES) if page else None
    if text is not None and not text.strip():
        raise GitshipError("the page on standard input is empty", "leave out --page for gitship's page")
    try:
        wanted = Maintenance(text, allowed)
    except ValueError:
        raise GitshipError("the page has control characters", "send HTML as UTF-8 text") from None
    context.operations.gates.change(found, lambda gate: replace(gate, maintenance=wanted), context.identity)
    context.line(f"{found.name} is in maintenance")
    if allowed:
        context.note(f"these see the app: {', '.join(allowed)}")


@command("maintenance:off", Role.DEPLOYER, "turn maintenance mode off", examples=("maintenance:off shop",))
def off(app: AppName, /, *, context: Ctx) -> None:
    found = context.app(app)
    context.operations.gates.change(found, lambda gate: replace(gate, maintenance=None), context.identity)
    context.line(f"{found.name} is not in maintenance")


@command(
    "maintenance:list",
    Role.VIEWER,
    "list the apps and whether each is in maintenance",
    columns=(
        Column("app", "the app's name"),
        Column("on", "true if visitors get the page"),
        Column("page_bytes", "size of the app's own page, null for gitship's page"),
        Column("allow", "networks that still see the app"),
    ),
    examples=("maintenance:list", "maintenance:list --format json"),
)
def list_maintenance(*, context: Ctx, format: Format = "table") -> None:
    rows = [{"app": app.name, **_row(context, app)} for app in context.apps()]
    show(context, rows, format, empty="no apps yet")


@command(
    "maintenance:show",
    Role.VIEWER,
    "show whether an app is in maintenance",
    one=True,
    columns=(
        Column("on", "true if visitors get the page"),
        Column("page_bytes", "size of the app's own page, null for gitship's page"),
        Column("allow", "networks that still see the app"),
    ),
    examples=("maintenance:show shop", "maintenance:show shop --format json"),
    aliases=("maintenance",),
)
def show_maintenance(app: AppName, /, *, context: Ctx, format: Format = "table") -> None:
    show_one(context, _row(context, context.app(app)), format)


def _row(context: Context, app: App) -> dict[str, object]:
    maintenance = gate_of(context.store, app.id).maintenance
    own = maintenance.page if maintenance else None
    return {
        "on": maintenance is not None,
        "page_bytes": None if own is None else len(own.encode()),
        "allow": list(maintenance.allow) if maintenance else [],
    }
