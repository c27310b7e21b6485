"""services: open a port of the server for a service's clients elsewhere."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from gitship.commands.services import ServiceName
from gitship.console import ip_networks
from gitship.console.command_registry import command
from gitship.console.context import Ctx
from gitship.console.idempotence import is_done
from gitship.errors import UsageError
from gitship.model import Role

ANYWHERE = "anywhere"
EVERY_NETWORK = ("0.0.0.0/0", "::/0")
LOWEST_PORT = 1024
Port = Annotated[int, Parameter(name="--port", metavar="N", help="the port to open on the server")]
Allow = Annotated[
    list[str] | None,
    Parameter(name="--allow", metavar="NETWORK", help=f"who may connect; may be repeated; or {ANYWHERE}"),
]


@command(
    "services:expose",
    Role.ADMIN,
    "open a port for a service: by TLS, for the networks that you name",
    details="Prints the certificate, which clients need to know that it is this server (for psql: sslmode=verify-full "
    "sslrootcert=FILE). For engines whose clients begin with TLS, and for PostgreSQL; not for MySQL and MariaDB: use "
    "services:proxy. A firewall of the server has to let the port through. Open connections end when gitship restarts.",
    examples=("services:expose db --port 15432 --allow 203.0.113.0/24",),
)
def expose(name: ServiceName, /, *, context: Ctx, port: Port, allow: Allow = None) -> None:
    if not allow:
        raise UsageError("say who may connect: --allow NETWORK", f"for everybody, --allow {ANYWHERE}")
    if not LOWEST_PORT <= port <= 65_535:
        raise UsageError(f"{port} cannot be opened", f"{LOWEST_PORT} to 65535")
    networks = EVERY_NETWORK if allow == [ANYWHERE] else ip_networks.within_limit(ip_networks.networks(allow))
    service = context.operations.services.named(name, context.identity)
    context.trail.begin()
    made = context.operations.service_reach.expose(service, port, networks, context.identity)
    context.record(f"{service.name} at port {port} for {', '.join(networks)}")
    context.line(made.certificate.strip())
    context.note(f"{service.name} is at port {port} of {context.ssh_host}, by TLS, for {', '.join(networks)}")


@command(
    "services:unexpose",
    Role.ADMIN,
    "close a service's port, and end what is connected to it",
    examples=("services:unexpose db",),
)
def unexpose(name: ServiceName, /, *, context: Ctx) -> None:
    service = context.operations.services.named(name, context.identity)
    with is_done():
        context.operations.service_reach.unexpose(service, context.identity)
    context.line(f"{service.name} is not exposed any more")
