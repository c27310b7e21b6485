"""web: sign in to the status page with your SSH key, and API tokens."""

from __future__ import annotations

import re
from typing import Annotated

import segno
from cyclopts import Parameter

from gitship.commands.keys import KEY_NAME
from gitship.console import idempotence
from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import Ctx
from gitship.console.listing import Format, moment, show
from gitship.errors import UsageError
from gitship.model import Role
from gitship.operations.sign_ins import LINK_S, SESSION_S
from gitship.routing import status_page_address

TokenName = Annotated[str, Parameter(name="NAME", help="the token's name")]

# Two rows of a QR code in one line of text, in black on white whatever the terminal's own colours are.
_HALVES = {(0, 0): " ", (1, 0): "▀", (0, 1): "▄", (1, 1): "█"}
_BLACK_ON_WHITE, _RESET = "\x1b[38;5;16;48;5;231m", "\x1b[0m"


@command(
    "web",
    Role.VIEWER,
    "print a one-time link that signs a browser in to the status page",
    details=f"It works for {LINK_S / 60:.0f} minutes; the browser then stays signed in for {SESSION_S / 3600:.0f} "
    "hours, with your key's role and apps. On a terminal it also shows a QR code.",
    examples=("web",),
)
def link(*, context: Ctx) -> None:
    context.trail.begin()
    base = status_page_address.status_page(context.settings, context.store)
    url = f"{base}/sign-in/{context.operations.sign_ins.link(context.identity)}"
    if context.terminal and not context.quiet:
        for line in qr_code(url, colours=bool(context.console.color_system)):
            context.line(line)
    context.line(url)
    context.note(f"it works once, within {LINK_S / 60:.0f} minutes")
    if not status_page_address.reachable(context.settings):
        listen = context.settings.web.listen
        context.note(
            f"the page listens only on the server; to reach it from here: ssh -N -L {listen.port}:{listen} "
            "YOU@SERVER, or set web.domain"
        )


def qr_code(text: str, *, colours: bool) -> list[str]:
    """Lines of text that a camera reads."""
    rows = [list(row) for row in segno.make(text, error="l", micro=False).matrix_iter(border=2)]
    rows += [[0] * len(rows[0])] * (len(rows) % 2)
    lines = [
        "".join(_HALVES[a & 1, b & 1] for a, b in zip(*rows[i : i + 2], strict=True)) for i in range(0, len(rows), 2)
    ]
    return [f"{_BLACK_ON_WHITE}{line}{_RESET}" if colours else line for line in lines]


@command(
    "web:token",
    Role.VIEWER,
    "create a token for the status page's JSON API",
    details="It has your key's current role and apps, and is removed with the key. It is shown only once.",
    examples=("web:token grafana",),
)
def add_token(name: TokenName, /, *, context: Ctx) -> None:
    context.record(_named(name))
    context.trail.begin()
    token = context.operations.sign_ins.add_token(context.identity, name)
    context.line(token)
    base = status_page_address.status_page(context.settings, context.store)
    context.note(f"for instance: curl -H 'Authorization: Bearer TOKEN' {base}/api/apps")


@command(
    "web:tokens",
    Role.VIEWER,
    "list your tokens for the JSON API",
    columns=(Column("name", "its name"), Column("created_at", "when it was made")),
    examples=("web:tokens", "web:tokens --format json"),
)
def list_tokens(*, context: Ctx, format: Format = "table") -> None:
    tokens = context.operations.sign_ins.tokens(context.identity)
    rows = [{"name": token.name, "created_at": moment(token.created_at)} for token in tokens]
    show(context, rows, format, empty="no tokens; `web:token NAME` makes one")


@command("web:token:remove", Role.VIEWER, "remove one of your tokens", examples=("web:token:remove grafana",))
def remove_token(name: TokenName, /, *, context: Ctx) -> None:
    context.record(_named(name))
    context.trail.begin()
    with idempotence.is_done():
        context.operations.sign_ins.remove_token(context.identity, name)
    context.line(f"removed {name}")


def _named(name: str) -> str:
    if not re.fullmatch(KEY_NAME, name):
        raise UsageError(f"'{name[:80]}' is not a token's name", "use letters, digits and . _ @ + -, at most 64")
    return name
