"""backups: back up services, prove the backups, restore them into new services."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from gitship.commands.services import Memory, ServiceName, memory_bytes
from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import Context, Ctx
from gitship.console.follow_task import Detach, follow
from gitship.console.listing import Format, moment, show, size
from gitship.console.progress import Progress
from gitship.console.prompt import PromptInterrupted
from gitship.errors import GitshipError, UsageError
from gitship.model import Role
from gitship.model.backups import ServiceBackup
from gitship.services.backup_objects import service_of

Target = Annotated[
    str | None, Parameter(name="--target", metavar="TARGET", help="where it goes; not needed if there is one target")
]
AtTarget = Annotated[
    str | None, Parameter(name="--target", metavar="TARGET", help="what lies at this target, also of other servers")
]
Number = Annotated[int | None, Parameter(name="NUMBER", help="the backup's number; the newest verified if not given")]
NoVerify = Annotated[bool, Parameter(name="--no-verify", help="don't restore it into a server of its own")]
OneService = Annotated[str | None, Parameter(name="SERVICE", help="only of this service")]


@command(
    "backups:run",
    Role.DEPLOYER,
    "back up a service now, and verify the backup",
    details="The dump is encrypted and goes to the target in one stream, without a temporary file. Then it is restored "
    "into a server of its own, of the same engine and version, and its rows are compared with those of the dump.",
    examples=("backups:run db", "backups:run db --target offsite --no-verify"),
)
def run(
    name: ServiceName, /, *, context: Ctx, target: Target = None, no_verify: NoVerify = False, detach: Detach = False
) -> None:
    service = context.operations.services.named(name, context.identity)
    found = context.store.backup_target_named(target)
    task = context.operations.service_backups.run(service, found, context.identity, verify=not no_verify)
    follow(context, task, detach=detach)


@command(
    "backups:list",
    Role.DEPLOYER,
    "list the backups of services, or what lies at a target",
    details="Only `verified` is proved: it was restored, and its rows were counted.",
    columns=(
        Column("service", "the service's name"),
        Column("number", "what other commands take; null for another server's"),
        Column("state", "running, uploaded, listed (size and SHA-256 agree), verified or failed; empty if unknown"),
        Column("engine", "what it is a dump of"),
        Column("version", "the engine's version; null if unknown", json_only=True),
        Column("target", "where it lies"),
        Column("bytes", "its size there", size),
        Column("rows", "rows in it, null if unknown", json_only=True),
        Column("started_at", "when it was made"),
        Column("verified_at", "when it was last restored for a proof, null if never", json_only=True),
        Column("by", "who asked for it, or `schedule`"),
        Column("reason", "why it failed"),
        Column("key", "what it is called at the target"),
        Column("sha256", "of the object at the target", json_only=True),
    ),
    examples=("backups:list", "backups:list db --format json", "backups:list --target offsite"),
)
def list_backups(
    name: OneService = None, /, *, context: Ctx, target: AtTarget = None, format: Format = "table"
) -> None:
    if target is not None:
        rows = _at(context, target)
        rows = [row for row in rows if name is None or row["service"] == name]
    else:
        backups = context.operations.service_backups.visible(context.identity)
        rows = [_row(backup) for backup in backups if name is None or backup.service == name]
        if name is not None and not rows:
            context.operations.services.named(name, context.identity)
    show(context, rows, format, empty="no backups; to make one: backups:run SERVICE")


def _row(backup: ServiceBackup) -> dict[str, Any]:
    return {
        "service": backup.service,
        "number": backup.number,
        "state": str(backup.state),
        "engine": backup.engine,
        "version": backup.version,
        "target": backup.target,
        "bytes": backup.bytes,
        "rows": backup.counts.rows if backup.counts.after else None,
        "started_at": moment(backup.started_at),
        "verified_at": moment(backup.verified_at),
        "by": backup.by if backup.schedule is None else "schedule",
        "reason": f"{backup.reason} ({backup.hint})" if backup.hint else backup.reason,
        "key": backup.key,
        "sha256": backup.sha256,
    }


def _at(context: Context, target: str) -> list[dict[str, Any]]:
    found = context.store.backup_target_named(target)
    known = {b.key: b for b in context.store.service_backups(target_id=found.id)}
    rows = []
    for stored in reversed(context.operations.service_backups.at_target(found, context.identity)):
        service, engine = service_of(stored.key)
        unknown = {
            "service": service, "number": None, "state": "", "engine": engine, "version": None, "target": found.name,
            "bytes": stored.bytes, "rows": None, "started_at": moment(stored.modified_at), "verified_at": None,
            "by": "", "reason": "", "key": stored.key, "sha256": stored.sha256,
        }  # fmt: skip
        rows.append(_row(known[stored.key]) if stored.key in known else unknown)
    return rows


@command(
    "backups:verify",
    Role.DEPLOYER,
    "restore a backup into a server of its own, and compare its rows",
    details="The server has the same engine, version and memory limit, and is removed afterwards. No app reaches it.",
    examples=("backups:verify db", "backups:verify db 12"),
)
def verify(name: ServiceName, number: Number = None, /, *, context: Ctx, detach: Detach = False) -> None:
    backups = context.operations.service_backups
    service = context.operations.services.named(name, context.identity)
    follow(context, backups.verify(service, backups.find(service, number), context.identity), detach=detach)


@command(
    "backups:restore",
    Role.DEPLOYER,
    "restore a backup into a new service",
    details="Always into a new one: nothing is overwritten. `services:promote NEW APP` then leads an app to it, in one "
    "deploy, and the service of before stays. With --from, a backup that lies at a target, also of a service that is "
    "gone: see `backups:list --target`.",
    examples=(
        "backups:restore db --as db-restored",
        "backups:restore db 12 --as db-monday",
        "backups:restore --from offsite 4d1f0e.../db/2026-12-01T03-00-00Z-12.postgres.dump.age --as db",
    ),
)
def restore(
    name: Annotated[str, Parameter(name="SERVICE", help="the service; with --from the backup's key")],
    number: Number = None, /, *, context: Ctx,
    new: Annotated[str, Parameter(name="--as", metavar="NEW", help="the new service's name")],
    from_: Annotated[str | None, Parameter(name="--from", metavar="TARGET", help="a backup at this target")] = None,
    memory: Memory = None, detach: Detach = False,
) -> None:  # fmt: skip
    backups = context.operations.service_backups
    if from_ is not None:
        source = backups.source_at(context.store.backup_target_named(from_), name, context.identity)
    else:
        service = context.operations.services.named(name, context.identity)
        source = backups.source_of(service, number, context.identity)
    limit = memory_bytes(context, memory)
    follow(context, backups.restore(source, new, context.identity, memory_bytes=limit), detach=detach)


@command(
    "backups:download",
    Role.DEPLOYER,
    "write a backup to stdout as it lies at its target",
    details="Encrypted in age's format: `age -d -i ~/.ssh/id_ed25519` decrypts it with an admin's key. With "
    "--decrypted, which needs the role admin, it is the dump itself. A non-zero exit code means that it is incomplete.",
    examples=("backups:download db > db.dump.age", "backups:download db 12 --decrypted > db.dump"),
)
def download(
    name: ServiceName, number: Number = None, /, *, context: Ctx,
    decrypted: Annotated[bool, Parameter(name="--decrypted", help="decrypt it on the server")] = False,
) -> None:  # fmt: skip
    if decrypted:
        context.require(Role.ADMIN, "backups in plain")
    service = context.operations.services.named(name, context.identity)
    if context.terminal:
        raise UsageError("refusing to write a backup to a terminal", f"send it to a file: backups:download {name} > F")
    backups = context.operations.service_backups
    session, progress = context.session, Progress(context, "download:")
    backup = backups.find(service, number)
    try:
        with backups.download(service, backup, context.identity, session.closed, plain=decrypted) as chunks:
            for chunk in chunks:
                session.stdout.write(chunk)
                progress.add(len(chunk))
    except OSError:
        session.closed.set()
        raise PromptInterrupted from None
    finally:
        context.record(f"{backup.label}, {size(progress.bytes)}")


@command(
    "backups:remove",
    Role.DEPLOYER,
    "remove a backup from its target",
    details="Scheduled backups go by themselves, as --keep says. The newest that is verified cannot be removed.",
    examples=("backups:remove db 12",),
)
def remove(name: ServiceName, number: Annotated[int, Parameter(name="NUMBER", help="its number")], /, *, context: Ctx,
) -> None:  # fmt: skip
    service = context.operations.services.named(name, context.identity)
    all_of = context.store.service_backups(service_id=service.id)
    found = next((backup for backup in all_of if backup.number == number), None)
    if found is None:
        raise GitshipError(f"{service.name} has no backup {number}", f"see `backups:list {service.name}`")
    context.record(found.label)
    context.operations.service_backups.remove(service, found, context.identity)
    context.line(f"removed {found.label}")
