"""audit: who did what, when and from where."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import Ctx
from gitship.console.listing import Format, moment, show
from gitship.errors import UsageError
from gitship.model import Role
from gitship.store.audit import KEPT_ROWS

Count = Annotated[int, Parameter(name=("-n", "--lines"), metavar="N", help="number of entries")]
OfApp = Annotated[
    str | None, Parameter(name="--app", metavar="APP", help="only entries that name this app, also a deleted one")
]


@command(
    "audit",
    Role.ADMIN,
    "show who did what, when and from where, newest first",
    details="Records pushes, every command above the role viewer, and everything that was refused, including "
    f"unknown keys. Never records values or keys. The last {KEPT_ROWS:,} entries are kept.",
    columns=(
        Column("at", "when it began"),
        Column("key", "the key's name, empty for an unknown key"),
        Column("fingerprint", "of the key, as `ssh-keygen -l` prints it", json_only=True),
        Column("address", "where the client was"),
        Column("action", "the command, `git push`, `git fetch` or `login`"),
        Column("app", "the app, or several separated by commas"),
        Column("outcome", "ok, failed, refused, or started (its end is unknown)"),
        Column("detail", "more, such as the deploy's id"),
    ),
    examples=("audit", "audit --app shop -n 5", "audit --format json"),
)
def show_audit(*, context: Ctx, app: OfApp = None, lines: Count = 50, format: Format = "table") -> None:
    if not 1 <= lines <= KEPT_ROWS:
        raise UsageError(f"-n {lines} is out of range", f"1 to {KEPT_ROWS} entries")
    rows = [
        {
            "at": moment(entry.at),
            "key": entry.key_name,
            "fingerprint": entry.fingerprint,
            "address": entry.address,
            "action": entry.action,
            "app": entry.app,
            "outcome": entry.outcome.value,
            "detail": entry.detail,
        }
        for entry in context.store.audit(app=app, limit=lines)
    ]
    show(context, rows, format, empty="nothing yet")
