"""server:cleanup: free disk space by removing old images and logs."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import Ctx
from gitship.console.listing import Format, show, size
from gitship.model import Role

DryRun = Annotated[bool, Parameter(name="--dry-run", help="only show what would be removed")]
BuildCache = Annotated[
    bool,
    Parameter(name="--build-cache", help="also remove Docker's build cache, of everyone who builds on this engine"),
]


@command(
    "server:cleanup",
    Role.ADMIN,
    "free disk space: old images, logs, loose objects",
    details="Removes images of old releases (deploy.keep_releases, disk.image_days), of failed deploys and of "
    "deleted apps, and logs older than disk.log_days; packs repositories. Touches only what gitship's "
    "records say is its own, or lies in its data directory. Keeps everything that a live release or a "
    "rollback needs.",
    columns=(
        Column("kind", "image, logs, repository or build cache"),
        Column("name", "an image's tag or id, a number of files, or a repository"),
        Column("app", "the app, null if deleted"),
        Column("bytes", "its size, or (without --dry-run) the space freed; includes shared layers", size),
        Column("why", "why it can be removed"),
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
    context.record(f"{'dry run, ' if dry_run else ''}{len(items)} items, {size(total)}")
    if items:
        context.note(f"{'up to ' if dry_run else ''}{size(total)} {'can be freed' if dry_run else 'freed'}")
