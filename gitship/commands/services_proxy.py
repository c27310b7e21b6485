"""services: reach a service from your own machine through SSH."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from gitship.commands.services import ServiceName
from gitship.console.command_registry import command
from gitship.console.context import Ctx
from gitship.console.durations import typed_seconds
from gitship.console.listing import iso, moment
from gitship.errors import UsageError
from gitship.model import Role

LONGEST_S = 7 * 86_400
LocalPort = Annotated[int | None, Parameter(name="--port", metavar="N", help="the port on your machine")]
For = Annotated[str, Parameter(name="--for", metavar="TIME", help="how long the login works, for example 30m")]
ReadsOnly = Annotated[bool, Parameter(name="--read-only", help="with a login that cannot write")]


@command(
    "services:proxy",
    Role.DEPLOYER,
    "print how to reach a service from your machine, with a login that expires",
    details="Run the first line and leave it running; use the second, a URL, with any client. The login is dropped "
    "when it expires, and by services:rotate. Forwarding works for services only, by name and the engine's port, with "
    "a key that may use the service; connections end when the key is removed or limited.",
    examples=("services:proxy db", "services:proxy db --port 6543 --for 30m --read-only"),
)
def proxy(
    name: ServiceName, /, *, context: Ctx, port: LocalPort = None, for_: For = "8h", read_only: ReadsOnly = False
) -> None:
    seconds = typed_seconds(for_, 6)
    if not seconds or seconds > LONGEST_S:
        raise UsageError(f"'{for_[:40]}' is not a time for a login", "for example 30m, 8h or 2d; at most 7d")
    if port is not None and not 1 <= port <= 65_535:
        raise UsageError(f"{port} is not a port", "1 to 65535")
    service = context.operations.services.named(name, context.identity)
    context.trail.begin()
    access = context.operations.service_reach.temporary(
        service, context.identity, seconds=seconds, local_port=port, read_only=read_only
    )
    expires = moment(access.expires_at)
    context.record(f"{service.name}, a login until {iso(expires) if expires else '-'}")
    ssh_port = context.settings.ssh.listen.port
    context.line(f"ssh -N -p {ssh_port} -L {access.local_port}:{service.name}:{access.port} deploy@{context.ssh_host}")
    context.line(access.url)
    context.note(f"the login works until {iso(expires) if expires else '-'}")
