"""backups:target: where backups are stored."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import Context, Ctx
from gitship.console.listing import Format, moment, show
from gitship.console.prompt import ask, read_all
from gitship.model import Role

SECRET_BYTES = 16 << 10
TargetName = Annotated[str, Parameter(name="NAME", help="the target's name")]
Place = Annotated[str, Parameter(name="PLACE", help="s3://BUCKET/PATH, /DIRECTORY or restic:REPOSITORY")]


@command(
    "backups:target:add",
    Role.ADMIN,
    "add a place for backups",
    details="Its secret is asked for on a terminal, and else read from standard input. A small object is written, "
    "listed, read and removed there before the target is kept. See `help backup-targets`.",
    examples=(
        "backups:target:add offsite s3://backups/shop --endpoint https://s3.example.com --key-id ID < secret",
        "backups:target:add disk /mnt/backups",
    ),
)
def add(
    name: TargetName, place: Place, /, *, context: Ctx,
    endpoint: Annotated[str, Parameter(name="--endpoint", metavar="URL", help="of an S3 service other than AWS")] = "",
    region: Annotated[str, Parameter(name="--region", metavar="REGION", help="of S3")] = "",
    key_id: Annotated[str, Parameter(name="--key-id", metavar="ID", help="the id of an access key of S3")] = "",
    style: Annotated[str, Parameter(name="--style", metavar="STYLE", help="of S3's URLs: path or virtual")] = "",
) -> None:  # fmt: skip
    options = {"endpoint": endpoint, "region": region, "key-id": key_id, "style": style}
    given = {option: value for option, value in options.items() if value}
    context.record(f"{name}: {place}")
    secret = "" if place.startswith("/") else _secret(context, two=place.startswith("restic:") and bool(key_id))
    target = context.operations.service_backups.add_target(name, place, given, secret, context.identity)
    context.line(f"added {target.name}: {context.operations.service_backups.typed(target)}")


def _secret(context: Context, *, two: bool) -> str:
    if not context.terminal:
        return read_all(context.session, SECRET_BYTES)
    if two:
        password = ask(context.session, "Password of the repository: ", hidden=True)
        return f"{password}\n{ask(context.session, 'Secret access key: ', hidden=True)}"
    return ask(context.session, "Secret: ", hidden=True)


@command(
    "backups:target:list",
    Role.DEPLOYER,
    "list the places for backups",
    columns=(
        Column("name", "its name"),
        Column("kind", "s3, directory or restic"),
        Column("place", "where it is, without its secret"),
        Column("created_by", "the key that added it"),
        Column("created_at", "when it was added"),
    ),
    examples=("backups:target:list",),
    aliases=("backups:target",),
)
def list_targets(*, context: Ctx, format: Format = "table") -> None:
    rows = [
        {
            "name": target.name,
            "kind": target.kind,
            "place": context.operations.service_backups.typed(target),
            "created_by": target.created_by,
            "created_at": moment(target.created_at),
        }
        for target in context.store.backup_targets()
    ]
    show(context, rows, format, empty="no targets; to add one: backups:target:add NAME PLACE")


@command(
    "backups:target:check",
    Role.ADMIN,
    "write, list, read and remove a small object at a target",
    examples=("backups:target:check offsite",),
)
def check(name: TargetName, /, *, context: Ctx) -> None:
    target = context.store.backup_target_named(name)
    context.operations.service_backups.check_target(target, context.identity)
    context.line(f"{target.name} takes backups")


@command(
    "backups:target:remove",
    Role.ADMIN,
    "forget a target and the records of its backups; what lies there stays",
    examples=("backups:target:remove offsite",),
)
def remove(name: TargetName, /, *, context: Ctx) -> None:
    target = context.store.backup_target_named(name)
    context.record(target.name)
    context.operations.service_backups.remove_target(target, context.identity)
    context.line(f"removed {target.name}; the backups there stay")
