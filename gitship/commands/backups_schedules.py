"""backups: back up services, volumes and the server on a schedule."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from gitship.commands.backups import OneSubject, SubjectName, Target, named
from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import Ctx
from gitship.console.listing import Format, moment, show
from gitship.errors import UsageError
from gitship.model import Role
from gitship.schema import Value

DEFAULT_KEEP = "7d,4w,6m"
DEFAULT_SPOOL = "1g"
LEAST_SPOOL = 64 << 20
PointInTime = Annotated[bool, Parameter(name="--point-in-time", help="base backups and all changes between them")]
Spool = Annotated[
    str | None,
    Parameter(name="--spool", metavar="SIZE", help=f"disk space for what the target is late for, {DEFAULT_SPOOL}"),
]
Keep = Annotated[
    str, Parameter(name="--keep", metavar="RULES", help="days, weeks, months and years to keep, or a number")
]


@command(
    "backups:schedule",
    Role.DEPLOYER,
    "back up a service, a volume or the server on a schedule, verify each backup, and remove old ones",
    details="The schedule is as in crontab, in the server's time zone. Each may have several, each with its own "
    "target and --keep. What was due while the server was down is made up for, once. --keep 7d,4w,6m keeps a backup of "
    "each of the last 7 days, 4 weeks and 6 months, of those that this schedule has made, and never removes the newest "
    "that is verified. --point-in-time makes base backups, and sends what changes between them within a minute, so "
    "that `backups:restore --at` restores any time since the first that is kept; only PostgreSQL can. Without a "
    "verified backup in twice the interval, `gitship doctor` and webhooks say so.",
    examples=(
        "backups:schedule db '0 3 * * *' --target offsite --keep 7d,4w,6m",
        "backups:schedule db '0 3 * * *' --target offsite --point-in-time",
        "backups:schedule shop/data @hourly --target disk --keep 24",
        "backups:schedule server @weekly --keep 4",
    ),
)
def schedule(
    name: SubjectName,
    /,
    *when: Annotated[str, Parameter(name="SCHEDULE", help="five fields as in crontab, or @daily, @hourly, ...")],
    context: Ctx,
    target: Target = None,
    keep: Keep = DEFAULT_KEEP,
    point_in_time: PointInTime = False,
    spool: Spool = None,
) -> None:
    subject = named(context, name)
    found = context.store.backup_target_named(target)
    if spool is not None and not point_in_time:
        raise UsageError("--spool is for --point-in-time", "add --point-in-time, or leave --spool out")
    size = Value(context.command.name, "--spool", spool or DEFAULT_SPOOL).size(LEAST_SPOOL) if point_in_time else None
    made = context.operations.backup_schedules.add(
        subject, found, " ".join(when), keep, context.identity, spool_bytes=size
    )
    context.record(f"{subject.name} {made.schedule} to {found.name}, {made.keep}")
    context.line(f"{subject.name} is backed up to {found.name} at '{made.schedule}', keeping {made.keep}")
    if point_in_time:
        context.line(f"its first base backup begins now; then: backups:restore {subject.name} --at 14:02 --as NEW")


@command(
    "backups:schedules",
    Role.DEPLOYER,
    "list the schedules of backups, and what each has proved last",
    columns=(
        Column("id", "what backups:unschedule takes"),
        Column("name", "the service, the volume as APP/VOLUME, or server"),
        Column("kind", "service, volume or server", json_only=True),
        Column("schedule", "when it is backed up"),
        Column("target", "where to"),
        Column("keep", "what is kept"),
        Column("point_in_time", "true with --point-in-time", json_only=True),
        Column("next_at", "when it is due next, null if never"),
        Column("last_verified", "when the newest verified backup there was made, null if there is none"),
        Column("overdue", "true without a verified backup in twice the interval"),
        Column("created_by", "the key that added it", json_only=True),
    ),
    examples=("backups:schedules", "backups:schedules db --format json"),
)
def schedules(name: OneSubject = None, /, *, context: Ctx, format: Format = "table") -> None:
    only = named(context, name) if name is not None else None
    rows = [
        {
            "id": one.schedule.id,
            "name": one.schedule.subject.name,
            "kind": str(one.schedule.subject.kind),
            "schedule": one.schedule.schedule,
            "target": one.schedule.target,
            "keep": one.schedule.keep,
            "point_in_time": one.schedule.point_in_time,
            "next_at": moment(one.next_at),
            "last_verified": moment(one.last_verified),
            "overdue": one.overdue,
            "created_by": one.schedule.created_by,
        }
        for one in context.operations.backup_schedules.all(context.identity)
        if only is None or one.schedule.subject == only
    ]
    show(context, rows, format, empty="no schedules; to add one: backups:schedule SUBJECT '0 3 * * *'")


@command(
    "backups:unschedule",
    Role.DEPLOYER,
    "remove a schedule; the backups that it has made stay",
    examples=("backups:unschedule db 3",),
)
def unschedule(
    name: SubjectName, id: Annotated[int, Parameter(name="ID", help="see backups:schedules")], /, *, context: Ctx
) -> None:
    subject = named(context, name)
    gone = context.operations.backup_schedules.remove(subject, id, context.identity)
    context.record(f"{subject.name} {gone.schedule} to {gone.target}")
    context.line(f"{subject.name} is not backed up to {gone.target} at '{gone.schedule}' any more")
