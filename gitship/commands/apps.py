"""apps: make, list and destroy applications."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from gitship.commands.context import AppName, Ctx
from gitship.commands.listing import Format, moment, show, version
from gitship.commands.prompt import ask
from gitship.commands.registry import Column, command
from gitship.errors import GitshipError
from gitship.model import App, Role, app_name


@command(
    "apps:create",
    Role.DEPLOYER,
    "make an app before its first push (which would make it, too)",
    examples=("apps:create shop",),
)
def create(app: AppName, /, *, context: Ctx) -> None:
    made = context.operations.create_app(app_name(app))
    context.line(f"created {made.name}")
    host, port = context.settings.domain, context.settings.ssh.listen.port
    context.note(f"git remote add deploy ssh://deploy@{host}:{port}/{made.name}\ngit push deploy main")


@command(
    "apps:list",
    Role.VIEWER,
    "all apps, what is live of them and where",
    columns=(
        Column("name", "the app's name"),
        Column("release", "number of the live release, null when nothing is live", version),
        Column("last_deploy", "state of the newest deploy, null when there was none"),
        Column("urls", "where it answers, best address first"),
        Column("created_at", "when it was made"),
    ),
    examples=("apps:list", "apps:list --format json"),
    aliases=("apps",),
)
def list_apps(*, context: Ctx, format: Format = "table") -> None:
    rows = [_row(context, app) for app in context.store.apps()]
    show(context, rows, format, empty="no apps yet; `apps:create NAME`, or push to a new name")


def _row(context: Ctx, app: App) -> dict[str, object]:
    newest = context.store.deploys(app.id, limit=1)
    return {
        "name": app.name,
        "release": context.store.release(app.live_release).number if app.live_release else None,
        "last_deploy": newest[0].state.value if newest else None,
        "urls": context.operations.urls(app),
        "created_at": moment(app.created_at),
    }


@command(
    "apps:destroy",
    Role.ADMIN,
    "remove an app for good: containers, images, repository, releases, config, logs",
    details="On a terminal it asks for the app's name first; elsewhere it needs --force.",
    examples=("apps:destroy shop", "apps:destroy shop --force"),
)
def destroy(
    app: AppName,
    /,
    *,
    context: Ctx,
    force: Annotated[bool, Parameter(name="--force", help="don't ask")] = False,
) -> None:
    found = context.app(app)
    if not force:
        _confirm(context, found.name)
    context.operations.destroy_app(found.name)
    context.line(f"destroyed {found.name}")


def _confirm(context: Ctx, name: str) -> None:
    if not context.terminal:
        raise GitshipError(f"'{name}' would be removed for good", "add --force, or use a terminal (`ssh -t`)")
    if ask(context.session, f"This removes {name} for good. Its name, to go on: ").strip() != name:
        raise GitshipError("that is not its name: nothing was removed")
