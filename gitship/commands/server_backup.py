"""server:backup: the whole server as one archive. `gitship restore` on the machine itself reads it."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from gitship.console.command_registry import command
from gitship.console.context import Ctx
from gitship.console.listing import size
from gitship.console.progress import Progress
from gitship.console.prompt import Interrupted
from gitship.containers.attach import ClientLeft
from gitship.errors import UsageError
from gitship.model import Role

Logs = Annotated[bool, Parameter(name="--logs", help="with the logs of deploys, runs and ended containers")]
Volumes = Annotated[bool, Parameter(name="--volumes", help="with what is in the apps' volumes")]


@command(
    "server:backup",
    Role.ADMIN,
    "the whole server as a tar archive on stdout, taken while it works",
    details="The database, repositories, keys, certificates, accounts at certificate authorities, hooks and the"
    " settings file, all of one moment: pushes and deploys go on. Not in it: images (`gitship restore FILE` on a bare"
    " machine, then `gitship serve`, builds every live app again from its commit) and what is in directories of the"
    " host. What an app writes into a volume meanwhile may be in it or not: for a database use its own dump. It has"
    " passwords and private keys in it, so keep it as you keep these. An exit code other than 0 means that it is not"
    " whole, and restore refuses it.",
    examples=("server:backup > gitship.tar", "server:backup --volumes --logs > gitship.tar"),
)
def backup(*, context: Ctx, logs: Logs = False, volumes: Volumes = False) -> None:
    if context.terminal:
        raise UsageError("a backup is no text for a terminal", "send it to a file: server:backup > gitship.tar")
    session, progress = context.session, Progress(context, "backup:")

    def write(piece: bytes) -> None:
        session.stdout.write(piece)
        progress.add(len(piece))

    try:
        made = context.operations.backups.write(write, session.closed, logs=logs, volumes=volumes)
    except ClientLeft:
        session.closed.set()
        raise Interrupted from None
    finally:
        context.record(size(progress.bytes))
    context.note(
        f"backup of {made.apps} apps{f' and {made.volumes} volumes' if volumes else ''}: {size(made.bytes)}, whole;"
        " it has keys and passwords in it: chmod 600"
    )
    for app in made.without:
        context.note(f"without the repository of {app}, which is not there: push {app} once, and take another backup")
