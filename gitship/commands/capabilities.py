"""capabilities: add Linux capabilities to an app's containers."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from gitship.appsettings import CAPABILITY
from gitship.console.apply_settings import NoRestart, change, note_pending
from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import AppName, Ctx
from gitship.console.follow_deploy import Detach
from gitship.console.listing import Format, show
from gitship.containers import capabilities
from gitship.engine.hardening import ADDABLE, KEPT, capability
from gitship.errors import UsageError
from gitship.model import Role

Names = Annotated[str, Parameter(name="CAPABILITY", help=f"one of {', '.join(ADDABLE)}")]


@command(
    "capabilities:add",
    Role.ADMIN,
    "add kernel capabilities to an app's containers, and deploy",
    details=f"Every container has {', '.join(KEPT)}, and cannot gain more (no-new-privileges). Capabilities that "
    "would give control of the machine cannot be added. Clones of the app do not get them.",
    examples=("capabilities:add shop NET_RAW",),
)
def add(app: AppName, /, *names: Names, context: Ctx, no_restart: NoRestart = False, detach: Detach = False) -> None:
    found = context.app(app)
    change(context, found, CAPABILITY.to(dict.fromkeys(_named(names), True)), detach=detach, no_restart=no_restart)


@command(
    "capabilities:remove",
    Role.ADMIN,
    "remove capabilities from an app's containers, and deploy",
    details="A rollback to a release that had them does not restore them.",
    examples=("capabilities:remove shop NET_RAW",),
)
def remove(app: AppName, /, *names: Names, context: Ctx, no_restart: NoRestart = False, detach: Detach = False) -> None:
    found = context.app(app)
    change(context, found, CAPABILITY.to(dict.fromkeys(_named(names))), detach=detach, no_restart=no_restart)


@command(
    "capabilities:list",
    Role.VIEWER,
    "list the kernel capabilities of an app's containers",
    columns=(
        Column("capability", "its name, without CAP_"),
        Column("from", "every container, or capabilities:add"),
    ),
    examples=("capabilities:list shop", "capabilities:list shop --format json"),
    aliases=("capabilities",),
)
def listed(app: AppName, /, *, context: Ctx, format: Format = "table") -> None:
    found = context.app(app)
    own = capabilities.stored(context.store.app_settings(found.id))
    rows = [{"capability": name, "from": "every container"} for name in KEPT]
    rows += [{"capability": name, "from": "capabilities:add"} for name in own]
    show(context, rows, format, empty="none")
    note_pending(context, found)


def _named(names: tuple[str, ...]) -> list[str]:
    if not names:
        raise UsageError("which capability?", "for instance NET_RAW")
    try:
        return [capability(name) for name in names]
    except ValueError as error:
        raise UsageError(str(error), "see `help capabilities:add`") from None
