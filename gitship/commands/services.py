"""services: databases and other backing services: create, look, restart, resize, destroy."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import Context, Ctx
from gitship.console.follow_task import Detach, follow
from gitship.console.listing import Format, moment, show, show_one, size
from gitship.console.prompt import ask
from gitship.errors import GitshipError, NoPermission
from gitship.model import Role
from gitship.model.services import Service
from gitship.schema import Value

ServiceName = Annotated[str, Parameter(name="NAME", help="the service's name")]
EngineName = Annotated[str, Parameter(name="ENGINE[:VERSION]", help="for example postgres:17; see services:engines")]
Memory = Annotated[str | None, Parameter(name="--memory", metavar="SIZE", help="memory limit, for example 512m")]
NewMemory = Annotated[str, Parameter(name="--memory", metavar="SIZE", help="the new limit, for example 1g")]
LinkTo = Annotated[str | None, Parameter(name="--link", metavar="APP", help="link it to this app, too")]
Lines = Annotated[int, Parameter(name="-n", metavar="N", help="the newest N lines")]
Force = Annotated[bool, Parameter(name="--force", help="don't ask")]


@command(
    "services:create",
    Role.DEPLOYER,
    "create a database or another backing service",
    details="The image is pulled once and pinned. The service gets a volume, a memory limit and a network of its own, "
    "and is reachable only from the apps that it is linked to. If anything fails, nothing of it stays.",
    examples=("services:create db postgres:17 --link shop", "services:create cache valkey --memory 128m"),
)
def create(
    name: ServiceName, engine: EngineName, /, *, context: Ctx, memory: Memory = None, link: LinkTo = None,
    detach: Detach = False,
) -> None:  # fmt: skip
    app = context.app(link) if link else None
    task = context.operations.services.create(
        name, engine, context.identity, memory_bytes=memory_bytes(context, memory), link_to=app
    )
    follow(context, task, detach=detach)


@command(
    "services:list",
    Role.VIEWER,
    "list backing services",
    columns=(
        Column("name", "the service's name"),
        Column("engine", "what it is"),
        Column("version", "its version"),
        Column("status", "running, restarting, exited, missing, creating or destroying"),
        Column("apps", "the apps linked to it"),
        Column("memory_bytes", "its memory limit", size),
        Column("created_at", "when it was made"),
    ),
    examples=("services:list", "services:list --format json"),
    aliases=("services",),
)
def list_services(*, context: Ctx, format: Format = "table") -> None:
    rows = [
        {
            "name": service.name,
            "engine": service.engine,
            "version": service.version,
            "status": context.operations.services.status(service).status,
            "apps": _apps(context, service),
            "memory_bytes": service.memory_bytes,
            "created_at": moment(service.created_at),
        }
        for service in context.operations.services.visible(context.identity)
    ]
    show(context, rows, format, empty="no services; to make one: services:create db postgres --link APP")


@command(
    "services:info",
    Role.VIEWER,
    "show a service, its links and what was done to it last",
    columns=(
        Column("name", "the service's name"),
        Column("engine", "what it is"),
        Column("version", "its version"),
        Column("image", "the image that it runs"),
        Column("status", "running, restarting, exited, missing, unresponsive, creating or destroying"),
        Column("connections", "open connections, null if unknown", lambda n: "-" if n is None else f"{n:.0f}"),
        Column("size_bytes", "size of its data, null if unknown", lambda n: size(None if n is None else int(n))),
        Column("memory_used_bytes", "memory in use, null if unknown", size),
        Column("memory_bytes", "its memory limit", size),
        Column("links", "the apps linked to it, each with its alias"),
        Column("exposed", "the port that leads to it from outside, and for whom; null if none"),
        Column("kept", "data that `services:rollback` can go back to, each with its version and end"),
        Column("created_at", "when it was made"),
        Column("last_backup", "when its newest verified backup was made, null if there is none"),
        Column("upgrade", "what it can be upgraded to, as far as this machine knows; null if there is nothing"),
        Column("last_task", "what was done to it last, and its result"),
    ),
    one=True,
    examples=("services:info db", "services:info db --format json"),
)
def info(name: ServiceName, /, *, context: Ctx, format: Format = "table") -> None:
    service = context.operations.services.named(name, context.identity)
    now = context.operations.services.status(service, deep=True)
    verified = context.store.last_verified(service.subject)
    exposed = context.operations.service_reach.exposure(service)
    row = {
        "name": service.name,
        "engine": service.engine,
        "version": service.version,
        "image": service.image,
        "status": now.status,
        "connections": now.connections,
        "size_bytes": now.size_bytes,
        "memory_used_bytes": now.memory_bytes,
        "memory_bytes": service.memory_bytes,
        "links": [
            f"{app.name} ({link.alias}{', read-only' if link.read_only else ''})"
            for app, link in context.operations.services.links(service)
            if context.identity.sees(app.id)
        ],
        "exposed": f"port {exposed.port}, by TLS, for {', '.join(exposed.networks)}" if exposed else None,
        "kept": [f"{old.version} until {_day(old.until)}" for old in context.operations.services.kept(service)],
        "created_at": moment(service.created_at),
        "last_backup": moment(verified.started_at) if verified else None,
        "upgrade": now.upgrade.why if now.upgrade else None,
        "last_task": _last_task(context, service),
    }
    show_one(context, row, format)


@command(
    "services:engines",
    Role.VIEWER,
    "list the engines that services can be made of",
    columns=(
        Column("name", "what `services:create` takes"),
        Column("title", "what it is"),
        Column("versions", "known versions, the default first"),
        Column("alias", "the first part of a link's variables"),
        Column("memory_bytes", "default memory limit", size),
    ),
    examples=("services:engines",),
)
def engines(*, context: Ctx, format: Format = "table") -> None:
    rows = [
        {
            "name": engine.name,
            "title": engine.title,
            "versions": list(engine.versions),
            "alias": engine.alias,
            "memory_bytes": engine.memory_bytes,
        }
        for engine in context.operations.services.engines()
    ]
    show(context, rows, format, empty="no engines")


@command("services:log", Role.DEPLOYER, "show what the last task on a service printed", examples=("services:log db",))
def log(name: ServiceName, /, *, context: Ctx) -> None:
    service = context.operations.services.named(name, context.identity)
    services = context.operations.services
    task = services.last_task(service)
    if task is not None:
        if not services.tells(task, context.identity):
            raise NoPermission("the last task was about other apps, too", "ask an admin for its output")
        context.note(f"{task.kind}, by {task.by}")
        services.tasks.follow(task, context.foreign_line, context.session.closed)


@command("services:logs", Role.DEPLOYER, "show the output of a service's server", examples=("services:logs db -n 50",))
def logs(name: ServiceName, /, *, context: Ctx, lines: Lines = 100) -> None:
    service = context.operations.services.named(name, context.identity)
    for line in context.operations.services.logs(service, context.identity, lines):
        context.foreign_line(line)


@command(
    "services:restart",
    Role.DEPLOYER,
    "restart a service; visitors of its apps wait meanwhile",
    examples=("services:restart db",),
)
def restart(name: ServiceName, /, *, context: Ctx, detach: Detach = False) -> None:
    service = context.operations.services.named(name, context.identity)
    follow(context, context.operations.services.restart(service, context.identity), detach=detach)


@command(
    "services:resize",
    Role.DEPLOYER,
    "change a service's memory limit, and restart it with settings that fit",
    details="It goes back to the old limit if it does not start with the new one.",
    examples=("services:resize db --memory 1g",),
)
def resize(name: ServiceName, /, *, context: Ctx, memory: NewMemory, detach: Detach = False) -> None:
    service = context.operations.services.named(name, context.identity)
    limit = Value(context.command.name, "--memory", memory).size()
    task = context.operations.services.resize(service, limit, context.identity)
    follow(context, task, detach=detach)


@command(
    "services:destroy",
    Role.ADMIN,
    "delete a service with its data permanently",
    details="It must not be linked to an app. Its backups stay. Asks for the service's name on a terminal; otherwise "
    "--force is required.",
    examples=("services:destroy db", "services:destroy db --force"),
)
def destroy(name: ServiceName, /, *, context: Ctx, force: Force = False) -> None:
    service = context.operations.services.named(name, context.identity)
    context.operations.services.ensure_unlinked(service)
    if not force:
        confirm(context, service, f"deletes all data of {service.label} permanently")
    follow(context, context.operations.services.destroy(service, context.identity))


def confirm(context: Context, service: Service, what: str) -> None:
    """Says what would be done, and asks for the service's name. Raises GitshipError."""
    if not context.terminal:
        raise GitshipError(f"this {what}", "add --force, or use a terminal (`ssh -t`)")
    if ask(context.session, f"This {what}. Type the service's name to continue: ").strip() != service.name:
        raise GitshipError("the name does not match: nothing was changed")


def _apps(context: Context, service: Service) -> list[str]:
    links = context.operations.services.links(service)
    return sorted({app.name for app, _ in links if context.identity.sees(app.id)})


def _last_task(context: Context, service: Service) -> str | None:
    task = context.operations.services.last_task(service)
    if task is None:
        return None
    reason = f", {task.reason}" if task.reason and context.operations.services.tells(task, context.identity) else ""
    return f"{task.kind}: {task.state}{reason}"


def _day(at: float | None) -> str:
    found = moment(at)
    return found.strftime("%Y-%m-%d") if found else ""


def memory_bytes(context: Context, typed: str | None) -> int | None:
    """Raises UsageError."""
    return Value(context.command.name, "--memory", typed).size() if typed else None
