"""storage: volumes and mounts of an app."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from gitship.appfiles import mounts
from gitship.appfiles.mounts import DeclaredMount
from gitship.console import idempotence
from gitship.console.apply_settings import NoRestart, change, note_pending, process_type
from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import AppName, Context, Ctx
from gitship.console.follow_deploy import Detach
from gitship.console.listing import Format, show, size
from gitship.console.prompt import ask
from gitship.errors import GitshipError
from gitship.model import App, Role

SourceAndPath = Annotated[
    str, Parameter(name="SOURCE:PATH", help="a volume's name or a host directory, and the path in containers")
]
MountWord = Annotated[str, Parameter(name="MOUNT", help="its source, its path, or both as SOURCE:PATH")]
VolumeName = Annotated[str, Parameter(name="NAME", help="the volume's name")]
Processes = Annotated[
    list[str] | None,
    Parameter(name="--process", metavar="P", help="only for this process type; may be repeated"),
]
ReadOnly = Annotated[bool, Parameter(name="--read-only", help="mount it read-only")]
Force = Annotated[bool, Parameter(name="--force", help="don't ask")]


@command(
    "storage:mount",
    Role.DEPLOYER,
    "mount a persistent volume or host directory in an app's containers, and deploy",
    details="SOURCE is the name of a volume, created if the app has none of that name. It belongs to the app and "
    "keeps its data until storage:destroy or apps:destroy. An empty volume first gets the image's files "
    "at the path. A SOURCE that begins with / is a host directory; it needs the role admin and must be "
    "below one of docker.host_paths. It must not lie within a directory that an app mounts writable or, "
    "unless --read-only, contain one that an app mounts. One-off containers (run, release command) have "
    "all mounts. During a deploy, old and new containers share the directory: for a program that cannot "
    "share it (most databases), run ps:stop before a deploy.",
    examples=(
        "storage:mount shop data:/var/lib/shop",
        "storage:mount shop uploads:/app/uploads --process web --process worker",
        "storage:mount shop /srv/photos:/photos --read-only",
    ),
)
def mount(
    app: AppName,
    spec: SourceAndPath,
    /,
    *,
    context: Ctx,
    read_only: ReadOnly = False,
    process: Processes = None,
    no_restart: NoRestart = False,
    detach: Detach = False,
) -> None:
    if spec.startswith("/"):
        context.require(Role.ADMIN, "mounting a host directory")
    source, path = mounts.parse(spec)
    found = context.app(app)
    processes = None
    if process:
        processes = tuple(dict.fromkeys(process_type(context, found, word) for word in process))
    changes = context.operations.storage.mount(
        found, DeclaredMount(source, path, read_only, processes), context.identity
    )
    change(context, found, changes, detach=detach, no_restart=no_restart)


@command(
    "storage:unmount",
    Role.DEPLOYER,
    "remove a mount from an app's containers; the data stays",
    details="A host directory is gone permanently: no rollback, restart, repair, cron run or one-off mounts it "
    "again. Anything that needs it fails and says what to do. With --no-restart, running containers keep "
    "it until they end.",
    examples=("storage:unmount shop data", "storage:unmount shop data:/var/lib/shop"),
)
def unmount(
    app: AppName, mount: MountWord, /, *, context: Ctx, no_restart: NoRestart = False, detach: Detach = False
) -> None:
    found = context.app(app)
    with idempotence.is_done():
        changes = context.operations.storage.unmount(found, mount)
    change(context, found, changes, detach=detach, no_restart=no_restart)


def _types(processes: list[str] | None) -> str:
    return "all" if processes is None else ", ".join(processes)


@command(
    "storage:list",
    Role.VIEWER,
    "list an app's volumes and mounts",
    columns=(
        Column("name", "the volume's name, null for a host directory"),
        Column("kind", "volume or host"),
        Column("path", "its path in containers, null if not mounted"),
        Column("read_only", "whether it is read-only"),
        Column("processes", "the process types that mount it, null for all", _types),
        Column("size_bytes", "size of its files, null if unknown", size),
        Column("mounted", "whether the live release mounts it"),
        Column("source", "Docker's name of the volume, or the directory"),
    ),
    examples=("storage:list shop", "storage:list shop --format json"),
    aliases=("storage",),
)
def list_storage(app: AppName, /, *, context: Ctx, format: Format = "table") -> None:
    found = context.app(app)
    rows = [
        {
            "name": kept.name,
            "kind": "host" if kept.name is None else "volume",
            "path": kept.path,
            "read_only": kept.read_only,
            "processes": None if kept.processes is None else list(kept.processes),
            "size_bytes": kept.size_bytes,
            "mounted": kept.live,
            "source": kept.source,
        }
        for kept in context.operations.storage.kept(found)
    ]
    show(context, rows, format, empty=f"nothing is mounted; `storage:mount {found.name} data:/PATH`")
    note_pending(context, found)


@command(
    "storage:destroy",
    Role.DEPLOYER,
    "delete a volume with its data permanently",
    details="It must not be mounted. Asks for the volume's name on a terminal; otherwise --force is required.",
    examples=("storage:destroy shop data", "storage:destroy shop data --force"),
)
def destroy(app: AppName, name: VolumeName, /, *, context: Ctx, force: Force = False) -> None:
    found = context.app(app)
    with idempotence.is_done():
        context.operations.storage.ensure_destroyable(found, name)
    if not force:
        _confirm(context, found, name)
    context.operations.storage.destroy(found, name, context.identity)
    context.record(f"volume {name}")
    context.line(f"destroyed volume {name} of {found.name}")


def _confirm(context: Context, app: App, name: str) -> None:
    if not context.terminal:
        raise GitshipError(
            f"the data of '{name}' would be deleted permanently", "add --force, or use a terminal (`ssh -t`)"
        )
    question = f"This deletes all data of {name} of {app.name} permanently. Type the volume's name to continue: "
    if ask(context.session, question).strip() != name:
        raise GitshipError("the name does not match: nothing was removed")
