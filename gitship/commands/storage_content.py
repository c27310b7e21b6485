"""storage:export and storage:import: a volume's content as a tar archive."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from cyclopts import Parameter

from gitship.commands.storage import VolumeName
from gitship.console.command_registry import command
from gitship.console.context import AppName, Context, Ctx
from gitship.console.follow_deploy import follow
from gitship.console.listing import size
from gitship.console.progress import Progress
from gitship.console.prompt import PromptInterrupted
from gitship.containers.attach_client import ClientLeft
from gitship.errors import DeployError
from gitship.model import Role

READ_BYTES = 64 << 10
CTRL_C = b"\x03"

Gzip = Annotated[bool, Parameter(name="--gzip", help="compress it")]
Replace = Annotated[bool, Parameter(name="--replace", help="replace the content of a volume that is not empty")]


@command(
    "storage:export",
    Role.DEPLOYER,
    "write a volume's content to stdout as a tar archive",
    details="Includes owners, modes, links and file capabilities. What is written during the export may be "
    "missing: for a database use its own dump, or ps:stop first. A non-zero exit code means that the "
    "archive is incomplete.",
    examples=("storage:export shop data > data.tar", "storage:export shop data --gzip > data.tar.gz"),
)
def export(app: AppName, name: VolumeName, /, *, context: Ctx, gzip: Gzip = False) -> None:
    found = context.app(app)
    session, progress = context.session, Progress(context, f"exporting {name}:")

    def write(piece: bytes) -> None:
        session.stdout.write(piece)
        progress.add(len(piece))

    try:
        context.operations.storage.export(found, name, write, session.closed, gzip=gzip)
    except ClientLeft:
        session.closed.set()
        raise PromptInterrupted from None
    finally:
        progress.clear()
        context.record(f"volume {name}, {size(progress.bytes)}")
    context.note(f"exported {name} of {found.name}: {size(progress.bytes)}")


@command(
    "storage:import",
    Role.DEPLOYER,
    "fill a volume from a tar archive on stdin, and deploy",
    details="Takes tar, plain or gzipped, as from storage:export. The archive is unpacked beside the volume and "
    "replaces it only once it is complete and new containers run with it; until then nothing changes. "
    "What the app writes in the meantime is lost: ps:stop first where that matters.",
    examples=("storage:import shop data < data.tar", "storage:import shop data --replace < data.tar.gz"),
)
def import_(app: AppName, name: VolumeName, /, *, context: Ctx, replace: Replace = False) -> None:
    found = context.app(app)
    progress = Progress(context, f"importing {name}:")
    try:
        deploy = context.operations.storage.restore(
            found, name, _chunks(context, progress), context.session.closed, context.identity, replace=replace
        )
    except (ClientLeft, OSError):
        raise PromptInterrupted from None
    finally:
        progress.clear()
        context.record(f"volume {name}, {size(progress.bytes)}")
    if deploy is not None:
        try:
            follow(context, found.name, deploy)
        except DeployError:
            context.note(f"{name} keeps its old content")
            raise
    context.line(f"imported {size(progress.bytes)} into {name} of {found.name}")


def _chunks(context: Context, progress: Progress) -> Iterator[bytes]:
    """Standard input; on a terminal, too, where a file may be piped in and each byte stands for itself."""
    session = context.session
    if session.pty is not None:
        session.pty.raw = True
    while chunk := session.stdin.read(READ_BYTES):
        if context.terminal and progress.bytes == 0 and chunk[:1] == CTRL_C:  # nobody has piped anything in
            raise PromptInterrupted
        progress.add(len(chunk))
        yield chunk
