"""server:cleanup: room on the disk, from what gitship has and needs no more."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import Ctx
from gitship.console.listing import Format, show, size
from gitship.model import Role

DryRun = Annotated[bool, Parameter(name="--dry-run", help="only show what would go")]
BuildCache = Annotated[
    bool, Parameter(name="--build-cache", help="Docker's build cache as well, of all who build on this engine")
]


@command(
    "server:cleanup",
    Role.ADMIN,
    "free room on the disk: old images, logs, loose objects",
    details="Images of releases that are too old to go back to (deploy.keep_releases, disk.image_days), of failed"
    " deploys and of apps that are gone; logs older than disk.log_days; repositories are packed. Only what gitship's"
    " own records say is its own, or what lies in its data directory: images, containers, volumes and networks of"
    " others stay, and so does everything that a live release or a rollback needs.",
    columns=(
        Column("kind", "image, logs, repository or build cache"),
        Column("name", "an image's tag or id, how many files, a repository"),
        Column("app", "the app, null for one that is gone"),
        Column("bytes", "what it takes, or (without --dry-run) what that has freed; layers shared are counted", size),
        Column("why", "why it can go"),
    ),
    examples=("server:cleanup --dry-run", "server:cleanup --build-cache"),
)
def cleanup(
    *, context: Ctx, dry_run: DryRun = False, build_cache: BuildCache = False, format: Format = "table"
) -> None:
    operations = context.operations.cleanup
    items = operations.look(build_cache=build_cache) if dry_run else operations.free(build_cache=build_cache)
    rows = [{"kind": i.kind, "name": i.name, "app": i.app, "bytes": i.bytes, "why": i.why} for i in items]
    show(context, rows, format, empty="nothing to free")
    total = sum(item.bytes or 0 for item in items)
    context.record(f"{'dry run, ' if dry_run else ''}{len(items)} things, {size(total)}")
    if items:
        context.note(f"{'up to ' if dry_run else ''}{size(total)} {'can go' if dry_run else 'freed'}")
