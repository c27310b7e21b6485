"""ports: the port that an app's web process listens on."""

from __future__ import annotations

import re
from typing import Annotated

from cyclopts import Parameter

from gitship.appsettings import PORT
from gitship.console.apply_settings import NoRestart, change, note_pending
from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import AppName, Ctx
from gitship.console.follow_deploy import Detach
from gitship.console.listing import Format, show_one
from gitship.errors import UsageError
from gitship.model import Role

PortNumber = Annotated[str, Parameter(name="PORT", help="1 to 65535")]


@command(
    "ports:set",
    Role.DEPLOYER,
    "set the port that web listens on, and deploy",
    details="Overrides gitship.toml, config PORT and EXPOSE. The app gets it in its variable PORT.",
    examples=("ports:set shop 3000",),
)
def set_port(
    app: AppName, port: PortNumber, /, *, context: Ctx, no_restart: NoRestart = False, detach: Detach = False
) -> None:
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise UsageError(f"'{port[:80]}' is not a port", "a number from 1 to 65535")
    change(context, context.app(app), PORT.to(int(port)), detach=detach, no_restart=no_restart)


@command(
    "ports:unset",
    Role.DEPLOYER,
    "remove the port set by command; gitship.toml, config PORT or EXPOSE apply again",
    examples=("ports:unset shop",),
)
def unset(app: AppName, /, *, context: Ctx, no_restart: NoRestart = False, detach: Detach = False) -> None:
    change(context, context.app(app), PORT.to(None), detach=detach, no_restart=no_restart)


@command(
    "ports:show",
    Role.VIEWER,
    "show the port that web listens on, and where it was set",
    one=True,
    columns=(
        Column("port", "the next release's port; EXPOSE is unknown before the first push"),
        Column("source", "ports:set, gitship.toml, config PORT, EXPOSE, the default, or an earlier release"),
        Column("live", "the live release's port, null if nothing is live"),
    ),
    examples=("ports:show shop", "ports:show shop --format json"),
    aliases=("ports",),
)
def show_port(app: AppName, /, *, context: Ctx, format: Format = "table") -> None:
    found = context.app(app)
    port = context.operations.tuning.port(found)
    show_one(context, {"port": port.port, "source": port.source or None, "live": port.live}, format)
    note_pending(context, found)
