"""server:backup: write a backup of the whole server; `gitship restore` reads it."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from gitship.console.command_registry import command
from gitship.console.context import Ctx
from gitship.console.listing import size
from gitship.console.progress import Progress
from gitship.console.prompt import PromptInterrupted
from gitship.containers.attach_client import ClientLeft
from gitship.errors import GitshipError, UsageError
from gitship.model import Role

Logs = Annotated[bool, Parameter(name="--logs", help="include the logs of deploys, runs and ended containers")]
Databases = Annotated[bool, Parameter(name="--services", help="include a dump of each service")]
Volumes = Annotated[bool, Parameter(name="--volumes", help="include the content of the apps' volumes")]


@command(
    "server:backup",
    Role.ADMIN,
    "write a backup of the whole server to stdout as a tar archive, while it runs",
    details="The database, repositories, keys, certificates, accounts at certificate authorities, hooks and the "
    "settings file, as of one moment; pushes and deploys go on. Not included: images (`gitship restore "
    "FILE` on a new machine, then `gitship serve`, rebuilds every live app from its commit) and host "
    "directories. What apps write into volumes during the backup may be missing: for a database use its "
    "own dump. The archive contains passwords and private keys: store it safely. A non-zero exit code "
    "means that it is incomplete; restore refuses such an archive. With --services it has a dump of each database, "
    "which is not encrypted: the restored server makes the services again from them, with their links.",
    examples=("server:backup > gitship.tar", "server:backup --volumes --services --logs > gitship.tar"),
)
def backup(*, context: Ctx, logs: Logs = False, volumes: Volumes = False, services: Databases = False) -> None:
    if context.terminal:
        raise UsageError("refusing to write a backup to a terminal", "send it to a file: server:backup > gitship.tar")
    session, progress = context.session, Progress(context, "backup:")

    def write(piece: bytes) -> None:
        session.stdout.write(piece)
        progress.add(len(piece))

    try:
        made = context.operations.backups.write(write, session.closed, logs=logs, volumes=volumes, services=services)
    except ClientLeft:
        session.closed.set()
        raise PromptInterrupted from None
    finally:
        context.record(size(progress.bytes))
    context.note(
        f"backup of {made.apps} apps{f' and {made.volumes} volumes' if volumes else ''}: {size(made.bytes)}, "
        "complete; it contains keys and passwords: chmod 600"
    )
    for app in made.without:
        context.note(f"the repository of {app} is missing: push {app} once, and take another backup")
    if not services and (left := [service.name for service in context.store.services()]):
        context.note(f"not in it: the data of {', '.join(left)}; add --services, or see `backups:schedule`")
    for service in made.undumped:
        context.note(f"not in it: the data of {service}")
    if made.undumped:
        raise GitshipError(f"{len(made.undumped)} services are not in the backup", "all else is; mend them, and again")
