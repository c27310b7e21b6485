"""ps:pause and ps:resume: an app's new requests wait while something behind it changes."""

from __future__ import annotations

import re
from typing import Annotated

from cyclopts import Parameter

from gitship.console.command_registry import command
from gitship.console.context import AppName, Ctx
from gitship.errors import UsageError
from gitship.front.pause_vcl import MOST_S
from gitship.model import Role

Limit = Annotated[str, Parameter(name="--for", metavar="TIME", help=f"how long they wait at most, 1s to {MOST_S:g}s")]


@command(
    "ps:pause",
    Role.DEPLOYER,
    "let new requests wait, for a database migration, until `ps:resume` or a limit",
    details="Nothing is lost: a request, with a body of any size, goes to the app once it may. Returns when the app "
    "has answered what it had begun, or after 5 s. Cached pages and new websockets wait, too; open websockets go on. "
    "A deploy meanwhile goes on as ever. The pause also ends when gitship does.",
    examples=("ps:pause shop", "ps:pause shop --for 10s"),
)
def pause(app: AppName, /, *, context: Ctx, limit: Limit = "30s") -> None:
    limit_s = seconds(limit)
    found = context.app(app)
    paused = context.operations.pauses.pause(found, limit_s, context.identity)
    context.line(f"{found.name} is paused: new requests wait for {paused.left_s:.0f} s at most")
    if paused.in_flight:
        context.note(f"{paused.in_flight} requests of before are still with the app")
    context.note(f"let them go: ps:resume {found.name}")


def seconds(text: str) -> float:
    """``10s`` or ``10``. Raises UsageError."""
    if not re.fullmatch(r"[0-9]{1,4}s?", text) or not 1 <= int(text.rstrip("s")) <= MOST_S:
        raise UsageError(f"'{text[:80]}' is not how long requests can wait", f"1s to {MOST_S:g}s: visitors give up")
    return float(text.rstrip("s"))


@command("ps:resume", Role.DEPLOYER, "let the requests go that wait", examples=("ps:resume shop",))
def resume(app: AppName, /, *, context: Ctx) -> None:
    found = context.app(app)
    paused = context.operations.pauses.resume(found, context.identity)
    context.line(f"{found.name} goes on, {paused.left_s:.0f} s before the limit")
