"""services: dump, load, clone and upgrade a service's data, go back, and open its console."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from cyclopts import Parameter

from gitship.commands.services import Force, Memory, ServiceName, confirm, memory_bytes
from gitship.console.command_registry import command
from gitship.console.context import Context, Ctx
from gitship.console.follow_task import Detach, follow
from gitship.console.listing import iso, moment, size
from gitship.console.progress import Progress
from gitship.console.prompt import PromptInterrupted
from gitship.containers.attach_client import ClientLeft
from gitship.errors import NotFound, UsageError
from gitship.model import Role
from gitship.model.services import KEPT_S, ServiceVolume

READ_BYTES = 256 << 10
Replace = Annotated[bool, Parameter(name="--replace", help="take the place of the data that are there")]
NewService = Annotated[str, Parameter(name="NEW", help="the new service's name")]
Version = Annotated[str, Parameter(name="VERSION", help="for example 17; the newest known if not given")]
Words = Annotated[str, Parameter(name="ARGUMENT", help="arguments of the console, after --")]


@command(
    "services:dump",
    Role.DEPLOYER,
    "write a service's data to stdout, in the format of its engine's own tools",
    details="For postgres the custom format of pg_dump, for mysql and mariadb SQL, for redis and valkey an RDB file. "
    "A non-zero exit code means that it is incomplete.",
    examples=("services:dump db > db.dump",),
)
def dump(name: ServiceName, /, *, context: Ctx) -> None:
    service = context.operations.services.named(name, context.identity)
    if context.terminal:
        raise UsageError("refusing to write a dump to a terminal", f"send it to a file: services:dump {name} > FILE")
    session, progress = context.session, Progress(context, "dump:")

    def write(piece: bytes) -> None:
        session.stdout.write(piece)
        progress.add(len(piece))

    try:
        context.operations.service_data.dump(service, write, session.closed, context.identity)
    except ClientLeft:
        session.closed.set()
        raise PromptInterrupted from None
    finally:
        context.record(f"{service.name}, {size(progress.bytes)}")


@command(
    "services:load",
    Role.DEPLOYER,
    "load a dump from stdin into a service",
    details="The dump is read whole into a new server first, so that a broken one changes nothing, and linked apps go "
    "on with the data of before until then; their visitors wait while it takes its place. With --replace, the data of "
    "before are kept for 7 days: services:rollback goes back to them.",
    examples=("services:load db < db.dump", "services:load db --replace < db.dump"),
)
def load(name: ServiceName, /, *, context: Ctx, replace: Replace = False) -> None:
    service = context.operations.services.named(name, context.identity)
    task = context.operations.service_data.load(
        service, _stdin(context), context.identity, context.session.closed, replace=replace
    )
    follow(context, task)


def _stdin(context: Context) -> Iterator[bytes]:
    while piece := context.session.stdin.read(READ_BYTES):
        yield piece


@command(
    "services:clone",
    Role.DEPLOYER,
    "create a service with a copy of another one's data",
    examples=("services:clone db db-test",),
)
def clone(
    name: ServiceName, new: NewService, /, *, context: Ctx, memory: Memory = None, detach: Detach = False
) -> None:
    service = context.operations.services.named(name, context.identity)
    limit = memory_bytes(context, memory)
    task = context.operations.service_data.clone(service, new, context.identity, memory_bytes=limit)
    follow(context, task, detach=detach)


@command(
    "services:upgrade",
    Role.DEPLOYER,
    "bring a service to a newer version; visitors of its apps wait meanwhile",
    details="A minor version runs on the same data, and goes back by itself if it does not start. A major one gets a "
    "copy of the data; its rows are compared before apps are led to it, and the old data are kept for 7 days.",
    examples=("services:upgrade db 17", "services:upgrade db"),
)
def upgrade(name: ServiceName, version: Version = "", /, *, context: Ctx, detach: Detach = False) -> None:
    service = context.operations.services.named(name, context.identity)
    follow(context, context.operations.service_data.upgrade(service, version, context.identity), detach=detach)


@command(
    "services:rollback",
    Role.DEPLOYER,
    "go back to the data and version of before the last upgrade or load",
    details="What was written since then is lost. Without --force it says how long ago that was, and asks.",
    examples=("services:rollback db",),
)
def rollback(name: ServiceName, /, *, context: Ctx, force: Force = False, detach: Detach = False) -> None:
    service = context.operations.services.named(name, context.identity)
    kept = context.operations.services.kept(service)
    if not kept:
        raise NotFound(f"{service.name} has nothing to go back to", "old data are kept for 7 days")
    if not force:
        confirm(context, service, f"loses what was written to {service.label} since {_minute(kept[-1])}")
    follow(context, context.operations.service_data.rollback(service, context.identity), detach=detach)


def _minute(kept: ServiceVolume) -> str:
    """When it was put aside: what was written since is not in it."""
    at = moment((kept.until or KEPT_S) - KEPT_S)
    return iso(at) if at else ""


@command(
    "services:connect",
    Role.DEPLOYER,
    "open a service's console, for example psql",
    examples=("services:connect db", "services:connect db -- -c 'select count(*) from orders'"),
    program_after=1,
)
def connect(name: ServiceName, /, *words: Words, context: Ctx) -> int | None:
    service = context.operations.services.named(name, context.identity)
    try:
        return context.operations.service_data.connect(service, words, context.session, context.identity)
    except ClientLeft:
        raise PromptInterrupted from None
