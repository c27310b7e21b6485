"""backups:times: the times that a service can be restored to."""

from __future__ import annotations

from gitship.commands.services import ServiceName
from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import Ctx
from gitship.console.listing import Format, moment, show
from gitship.model import Role


@command(
    "backups:times",
    Role.DEPLOYER,
    "list the times that a service can be restored to",
    details="Any time of a line can be restored: `backups:restore SERVICE --at TIME --as NEW`. The last line goes on: "
    "what a server that runs has written since is sent first. A time is proved when WAL was replayed up to it in a "
    "server of its own, and the rows were compared. After a gap a new line begins, with a new base backup.",
    columns=(
        Column("since", "the earliest time"),
        Column("until", "the latest time that has come to the target"),
        Column("proven_until", "up to when it was restored for a proof, null if it was not"),
        Column("target", "where it lies"),
        Column("bases", "how many base backups it has", json_only=True),
        Column("open", "true while it goes on"),
        Column("reason", "why it ended, or what is wrong now"),
    ),
    examples=("backups:times db", "backups:times db --format json"),
)
def times(name: ServiceName, /, *, context: Ctx, format: Format = "table") -> None:
    service = context.operations.services.named(name, context.identity)
    rows = [
        {
            "since": moment(one.since),
            "until": moment(one.until),
            "proven_until": moment(one.proven_until),
            "target": one.archive.target,
            "bases": len(one.bases),
            "open": one.archive.closed_at is None,
            "reason": one.archive.reason,
        }
        for one in context.operations.service_backups.times(service, context.identity)
    ]
    show(context, rows, format, empty=f"no times; first: backups:schedule {name} '0 3 * * *' --point-in-time")
