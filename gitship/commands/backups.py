"""backups: back up services, volumes and the server, prove the backups, restore them into something new."""

from __future__ import annotations

import time
from datetime import UTC
from typing import Annotated, Any

from cyclopts import Parameter

from gitship.commands.services import Memory, memory_bytes
from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import Context, Ctx
from gitship.console.follow_task import Detach, follow
from gitship.console.listing import Format, moment, show, size
from gitship.console.progress import Progress
from gitship.console.prompt import PromptInterrupted
from gitship.errors import GitshipError, NotFound, UsageError
from gitship.model import Role
from gitship.model.backups import WHOLE_SERVER, BackupSubject, StoredBackup, SubjectKind
from gitship.services.backup_objects import is_base, subject_of
from gitship.services.restorable import typed_time, written

Target = Annotated[
    str | None, Parameter(name="--target", metavar="TARGET", help="where it goes; not needed if there is one target")
]
AtTarget = Annotated[
    str | None, Parameter(name="--target", metavar="TARGET", help="what lies at this target, also of other servers")
]
Number = Annotated[int | None, Parameter(name="NUMBER", help="the backup's number; the newest verified if not given")]
NoVerify = Annotated[bool, Parameter(name="--no-verify", help="don't restore it for a proof")]
SubjectName = Annotated[str, Parameter(name="SUBJECT", help="a service, APP/VOLUME, or server for all of it")]
At = Annotated[str | None, Parameter(name="--at", metavar="TIME", help="as it was at this time, or `now`")]
OneSubject = Annotated[str | None, Parameter(name="SUBJECT", help="only of this service, volume or the server")]


def named(context: Context, name: str) -> BackupSubject:
    """What ``db``, ``shop/data`` or ``server`` means. Raises NotFound, or NoPermission for the server."""
    if name == WHOLE_SERVER.name:
        context.require(Role.ADMIN, "backups of the whole server")
        return context.store.confirm_subject(WHOLE_SERVER, context.identity)
    app, slash, volume = name.partition("/")
    if slash:
        return context.operations.service_backups.volume(context.app(app), volume)
    try:
        return context.operations.services.named(name, context.identity).subject
    except NotFound as error:
        if any(found.name == name for found in context.apps()):
            raise NotFound(error.message, f"a volume of the app is named {name}/VOLUME: storage:list {name}") from None
        raise


@command(
    "backups:run",
    Role.DEPLOYER,
    "back up a service, a volume or the whole server now, and verify the backup",
    details="It is encrypted and goes to the target in one stream, without a temporary file. Then a dump is restored "
    "into a server of its own, of the same engine and version, and its rows are compared; a volume is restored into "
    "another one, and its files are compared; a backup of the whole server is read back. `server` needs the role "
    "admin, and has all that server:backup --services --volumes has.",
    examples=("backups:run db", "backups:run shop/data --target offsite --no-verify", "backups:run server"),
)
def run(
    name: SubjectName, /, *, context: Ctx, target: Target = None, no_verify: NoVerify = False, detach: Detach = False
) -> None:
    subject = named(context, name)
    found = context.store.backup_target_named(target)
    task = context.operations.service_backups.run(subject, found, context.identity, verify=not no_verify)
    follow(context, task, detach=detach)


@command(
    "backups:list",
    Role.DEPLOYER,
    "list backups, or what lies at a target",
    details="Only `verified` is proved: it was restored and compared, or, of the whole server, read back and compared.",
    columns=(
        Column("name", "the service, the volume as APP/VOLUME, or server"),
        Column("kind", "service, volume or server", json_only=True),
        Column("number", "what other commands take; null for another server's"),
        Column("state", "running, uploaded, listed (size and SHA-256 agree), verified or failed; empty if unknown"),
        Column("engine", "what it is a dump of; empty for a volume"),
        Column("base", "true for a base backup of a point in time", json_only=True),
        Column("version", "the engine's version; null if unknown", json_only=True),
        Column("target", "where it lies"),
        Column("bytes", "its size there", size),
        Column("rows", "rows in a dump, null if unknown", json_only=True),
        Column("files", "files in a volume, null if unknown", json_only=True),
        Column("started_at", "when it was made"),
        Column("verified_at", "when it was last restored for a proof, null if never", json_only=True),
        Column("by", "who asked for it, or `schedule`"),
        Column("reason", "why it failed"),
        Column("key", "what it is called at the target"),
        Column("sha256", "of the object at the target", json_only=True),
    ),
    examples=("backups:list", "backups:list shop/data --format json", "backups:list --target offsite"),
)
def list_backups(
    name: OneSubject = None, /, *, context: Ctx, target: AtTarget = None, format: Format = "table"
) -> None:
    if target is not None:
        rows = _at(context, target)
        rows = [row for row in rows if name is None or row["name"] == name]
    else:
        backups = context.operations.service_backups.visible(context.identity)
        rows = [_row(backup) for backup in backups if name is None or backup.subject.name == name]
        if name is not None and not rows:
            subject = named(context, name)
            rows = [_row(backup) for backup in backups if backup.subject == subject]  # under an earlier name of the app
    show(context, rows, format, empty="no backups; to make one: backups:run SERVICE, APP/VOLUME or server")


def _row(backup: StoredBackup) -> dict[str, Any]:
    return {
        "name": backup.subject.name,
        "kind": str(backup.subject.kind),
        "number": backup.number,
        "state": str(backup.state),
        "engine": backup.engine,
        "base": backup.is_base,
        "version": backup.version,
        "target": backup.target,
        "bytes": backup.bytes,
        "rows": backup.rows,
        "files": backup.files,
        "started_at": moment(backup.started_at),
        "verified_at": moment(backup.verified_at),
        "by": backup.by if backup.schedule is None else "schedule",
        "reason": f"{backup.reason} ({backup.hint})" if backup.hint else backup.reason,
        "key": backup.key,
        "sha256": backup.sha256,
    }


def _at(context: Context, target: str) -> list[dict[str, Any]]:
    found = context.store.backup_target_named(target)
    known = {b.key: b for b in context.store.backups(target_id=found.id)}
    rows = []
    for stored in reversed(context.operations.service_backups.at_target(found, context.identity)):
        kind, name, engine = subject_of(stored.key)
        unknown = {
            "name": name, "kind": kind, "number": None, "state": "", "engine": engine,
            "base": is_base(stored.key), "version": None, "target": found.name, "bytes": stored.bytes, "rows": None,
            "files": None,
            "started_at": moment(stored.modified_at), "verified_at": None, "by": "", "reason": "", "key": stored.key,
            "sha256": stored.sha256,
        }  # fmt: skip
        rows.append(_row(known[stored.key]) if stored.key in known else unknown)
    return rows


@command(
    "backups:verify",
    Role.DEPLOYER,
    "prove that a backup can be restored",
    details="A dump is restored into a server of the same engine, version and memory limit, which no app reaches, and "
    "its rows are compared. A volume is restored into another one, and all its files are compared. Both go afterwards. "
    "A backup of the whole server is read back: each entry must be as its checksum says, its database must open, and "
    "data of every service and volume must be in it.",
    examples=("backups:verify db", "backups:verify shop/data 12"),
)
def verify(name: SubjectName, number: Number = None, /, *, context: Ctx, detach: Detach = False) -> None:
    backups, subject = context.operations.service_backups, named(context, name)
    follow(context, backups.verify(subject, backups.find(subject, number), context.identity), detach=detach)


@command(
    "backups:restore",
    Role.DEPLOYER,
    "restore a backup into a new service or volume",
    details="Always into a new one: nothing is overwritten. `services:promote NEW APP` then leads an app to a service, "
    "in one deploy, and the service of before stays; for a volume, the commands that mount it are printed. With "
    "--from, a backup that lies at a target, also of what is gone: see `backups:list --target`. The whole server is "
    "restored by `gitship restore`: see `help server-backup`. With --at, a service as it was then: a time of today or "
    "yesterday, or with a date, in the server's time zone unless it has another. It needs a schedule with "
    "--point-in-time: see `backups:times`.",
    examples=(
        "backups:restore db --as db-restored",
        "backups:restore shop/data 12 --as data-monday",
        "backups:restore db --at 14:02 --as db-before",
        "backups:restore db --at 2026-12-01T14:02:30+01:00 --as db-before",
        "backups:restore --from offsite 4d1f0e.../db/2026-12-01T03-00-00Z-12.postgres.dump.age --as db",
    ),
)
def restore(
    name: Annotated[str, Parameter(name="SUBJECT", help="a service, or APP/VOLUME; with --from the backup's key")],
    number: Number = None, /, *, context: Ctx,
    new: Annotated[str, Parameter(name="--as", metavar="NEW", help="the new service or volume; also APP/VOLUME")],
    from_: Annotated[str | None, Parameter(name="--from", metavar="TARGET", help="a backup at this target")] = None,
    at: At = None, memory: Memory = None, detach: Detach = False,
) -> None:  # fmt: skip
    backups = context.operations.service_backups
    if at is not None:
        if from_ is not None or number is not None:
            raise UsageError("--at finds the backup itself", "leave out the number, or --from")
        service = context.operations.services.named(name, context.identity)
        time_of, where = typed_time(at, context.operations.backup_schedules.timezone, time.time())
        found_at = backups.source_as_of(service, time_of, where, context.identity)
        context.line(f"{service.name} as of {written(time_of, where)} ({written(time_of, UTC)})")
        limit = memory_bytes(context, memory)
        follow(context, backups.restore(found_at, new, context.identity, memory_bytes=limit), detach=detach)
        return
    subject = None if from_ is not None else named(context, name)
    if subject is None:
        source = backups.source_at(context.store.backup_target_named(from_), name, context.identity)
    else:
        source = backups.source_of(subject, number, context.identity)
    if source.kind == SubjectKind.SERVER:
        raise UsageError(
            "a whole server is restored on a machine that has none", "see `help server-backup`: gitship restore FILE"
        )
    limit = memory_bytes(context, memory)
    if source.kind == SubjectKind.SERVICE:
        follow(context, backups.restore(source, new, context.identity, memory_bytes=limit), detach=detach)
        return
    if limit is not None:
        raise UsageError("a volume has no memory limit", "leave out --memory")
    app, slash, volume = new.rpartition("/")
    if not slash and subject is None:
        raise UsageError("--as must say which app gets the volume", f"--as APP/{new}")
    found = context.app(app) if slash else context.app(name.partition("/")[0])
    follow(context, backups.restore_volume(source, found, volume, context.identity), detach=detach)


@command(
    "backups:download",
    Role.DEPLOYER,
    "write a backup to stdout as it lies at its target",
    details="Encrypted in age's format: `age -d -i ~/.ssh/id_ed25519` decrypts it with an admin's key. With "
    "--decrypted, which needs the role admin, it is what was encrypted: a dump, or a tar archive. A non-zero exit code "
    "means that it is incomplete.",
    examples=(
        "backups:download db > db.dump.age",
        "backups:download shop/data 12 --decrypted > data.tar",
        "backups:download server > gitship.tar.age",
    ),
)
def download(
    name: SubjectName, number: Number = None, /, *, context: Ctx,
    decrypted: Annotated[bool, Parameter(name="--decrypted", help="decrypt it on the server")] = False,
) -> None:  # fmt: skip
    if decrypted:
        context.require(Role.ADMIN, "backups in plain")
    subject = named(context, name)
    if context.terminal:
        raise UsageError("refusing to write a backup to a terminal", f"send it to a file: backups:download {name} > F")
    backups = context.operations.service_backups
    session, progress = context.session, Progress(context, "download:")
    backup = backups.find(subject, number)
    try:
        with backups.download(subject, backup, context.identity, session.closed, plain=decrypted) as chunks:
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
def remove(name: SubjectName, number: Annotated[int, Parameter(name="NUMBER", help="its number")], /, *, context: Ctx,
) -> None:  # fmt: skip
    subject = named(context, name)
    found = next((backup for backup in context.store.backups(subject) if backup.number == number), None)
    if found is None:
        raise GitshipError(f"{subject.name} has no backup {number}", f"see `backups:list {subject.name}`")
    context.record(found.label)
    context.operations.service_backups.remove(subject, found, context.identity)
    context.line(f"removed {found.label}")
