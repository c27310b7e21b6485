"""services: link services to apps and unlink them, promote, and rotate passwords."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from gitship.commands.services import ServiceName
from gitship.console.apply_settings import NoRestart
from gitship.console.command_registry import command
from gitship.console.context import AppName, Ctx
from gitship.console.follow_task import Detach, follow
from gitship.errors import UsageError
from gitship.model import Role

Alias = Annotated[
    str, Parameter(name="--alias", metavar="NAME", help="first part of the variables' names, for example REPORTS")
]
ReadOnly = Annotated[bool, Parameter(name="--read-only", help="with a login that cannot write")]
Scheme = Annotated[
    str, Parameter(name="--scheme", metavar="WORD", help="scheme of the URL, for example mysql2 or postgresql+psycopg")
]


@command(
    "services:link",
    Role.DEPLOYER,
    "link a service to an app, and deploy",
    details="The app gets a login of its own and the variables ALIAS_URL, ALIAS_HOST, ALIAS_PORT, ALIAS_USER, "
    "ALIAS_PASSWORD and ALIAS_NAME, in all its containers, cron runs and one-offs. The service's name is its host name "
    "there. Two apps that are linked to one service cannot reach each other.",
    examples=("services:link db shop", "services:link db reports --read-only --alias SHOP_DATABASE"),
)
def link(
    name: ServiceName, app: AppName, /, *, context: Ctx, alias: Alias = "", read_only: ReadOnly = False,
    scheme: Scheme = "", no_restart: NoRestart = False, detach: Detach = False,
) -> None:  # fmt: skip
    if scheme and not all(c.isalnum() or c in "+.-" for c in scheme):
        raise UsageError(f"'{scheme[:40]}' is not the scheme of a URL", "for example mysql2 or postgresql+psycopg")
    services, found = context.operations.services, context.app(app)
    service = services.named(name, context.identity)
    task = services.link(
        service, found, context.identity, alias=alias, read_only=read_only, scheme=scheme, restart=not no_restart
    )
    follow(context, task, detach=detach)


@command(
    "services:unlink",
    Role.DEPLOYER,
    "remove a service's link from an app, and deploy; the data stay",
    details="The app's login is dropped once the containers that have it have ended.",
    examples=("services:unlink db shop",),
)
def unlink(name: ServiceName, app: AppName, /, *, context: Ctx, alias: Alias = "", detach: Detach = False) -> None:
    services, found = context.operations.services, context.app(app)
    task = services.unlink(services.named(name, context.identity), found, context.identity, alias=alias)
    follow(context, task, detach=detach)


@command(
    "services:promote",
    Role.DEPLOYER,
    "make a service an app's main one: it takes over the alias, and the other gets its alias",
    details="One deploy brings both. A service that is not linked to the app is linked first.",
    examples=("services:promote db-restored shop", "services:promote db2 shop --alias REPORTS"),
)
def promote(name: ServiceName, app: AppName, /, *, context: Ctx, alias: Alias = "", detach: Detach = False) -> None:
    services, found = context.operations.services, context.app(app)
    task = services.promote(services.named(name, context.identity), found, context.identity, alias=alias)
    follow(context, task, detach=detach)


@command(
    "services:rotate",
    Role.DEPLOYER,
    "give every linked app a new login, with no failed request",
    details="Each app is deployed with its new password; the old one works until the containers that have it have "
    "ended. Releases record the link and no password, so a rollback connects, too.",
    examples=("services:rotate db",),
)
def rotate(name: ServiceName, /, *, context: Ctx, detach: Detach = False) -> None:
    service = context.operations.services.named(name, context.identity)
    follow(context, context.operations.services.rotate(service, context.identity), detach=detach)
