"""errors: the error page that visitors get while an app is down."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import AppName, Ctx
from gitship.console.listing import Format, show_one
from gitship.console.prompt import read_all
from gitship.errors import GitshipError, UsageError
from gitship.front.gate import PAGE_BYTES, check_page
from gitship.model import Role


@command(
    "errors:set",
    Role.DEPLOYER,
    "serve your own 503 page while the app is down",
    details="Sent with Retry-After. Cached pages are still served. Error pages sent by the app itself are not "
    "replaced.",
    examples=("errors:set shop --page - < down.html",),
)
def set_page(
    app: AppName,
    /,
    *,
    context: Ctx,
    page: Annotated[
        str,
        Parameter(
            name="--page", metavar="-", allow_leading_hyphen=True, help="HTML from standard input, at most 256 KiB"
        ),
    ],
) -> None:
    if page != "-":
        raise UsageError("--page takes only '-'", f"send the file: errors:set {app[:80]} --page - < page.html")
    found = context.app(app)
    text = read_all(context.session, PAGE_BYTES)
    if not text.strip():
        raise GitshipError("the page on standard input is empty", "to use gitship's error page again: errors:unset")
    try:
        check_page(text)
    except ValueError:
        raise GitshipError("the page has control characters", "send HTML as UTF-8 text") from None
    context.operations.serving.set_error_page(found, text, context.identity)
    context.line(f"{found.name} has its own error page")


@command("errors:unset", Role.DEPLOYER, "use gitship's error page again", examples=("errors:unset shop",))
def unset(app: AppName, /, *, context: Ctx) -> None:
    found = context.app(app)
    context.operations.serving.set_error_page(found, None, context.identity)
    context.line(f"{found.name} uses gitship's error page")


@command(
    "errors:show",
    Role.VIEWER,
    "show whether an app has its own error page",
    one=True,
    columns=(Column("page_bytes", "size of the app's own page, null for gitship's page"),),
    examples=("errors:show shop", "errors:show shop --format json"),
    aliases=("errors",),
)
def show_page(app: AppName, /, *, context: Ctx, format: Format = "table") -> None:
    own = context.operations.serving.error_page(context.app(app))
    show_one(context, {"page_bytes": None if own is None else len(own.encode())}, format)
