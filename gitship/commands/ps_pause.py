"""ps:pause and ps:resume: hold an app's new requests for a short time."""

from __future__ import annotations

import re
from typing import Annotated

from cyclopts import Parameter

from gitship.console.command_registry import command
from gitship.console.context import AppName, Ctx
from gitship.errors import UsageError
from gitship.front.pause_vcl import MOST_S
from gitship.model import Role

Limit = Annotated[
    str, Parameter(name="--for", metavar="TIME", help=f"how long requests wait at most, 1s to {MOST_S:g}s")
]


@command(
    "ps:pause",
    Role.DEPLOYER,
    "hold new requests, for example for a database migration, until `ps:resume` or a time limit",
    details="No request is lost: each goes to the app afterwards, with a body of any size. Returns when the app "
    "has answered the requests in progress, or after 5 s. Cached pages and new websockets wait, too; "
    "open websockets go on. Deploys still work. The pause also ends when gitship stops.",
    examples=("ps:pause shop", "ps:pause shop --for 10s"),
)
def pause(app: AppName, /, *, context: Ctx, limit: Limit = "30s") -> None:
    limit_s = seconds(limit)
    found = context.app(app)
    paused = context.operations.pauses.pause(found, limit_s, context.identity)
    context.line(f"{found.name} is paused: new requests wait for {paused.left_s:.0f} s at most")
    if paused.in_flight:
        context.note(f"{paused.in_flight} earlier requests are still in progress")
    context.note(f"to release them: ps:resume {found.name}")


def seconds(text: str) -> float:
    """``10s`` or ``10``. Raises UsageError."""
    if not re.fullmatch(r"[0-9]{1,4}s?", text) or not 1 <= int(text.rstrip("s")) <= MOST_S:
        raise UsageError(f"'{text[:80]}' is not a valid pause", f"1s to {MOST_S:g}s: visitors give up")
    return float(text.rstrip("s"))


@command("ps:resume", Role.DEPLOYER, "release the held requests", examples=("ps:resume shop",))
def resume(app: AppName, /, *, context: Ctx) -> None:
    found = context.app(app)
    paused = context.operations.pauses.resume(found, context.identity)
    context.line(f"{found.name} is resumed, {paused.left_s:.0f} s before the limit")
