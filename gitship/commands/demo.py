"""demo: deploy a small demo app."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from gitship import demo
from gitship.commands.apps import refuse_existing
from gitship.console import visible_apps
from gitship.console.command_registry import command
from gitship.console.context import Ctx
from gitship.console.follow_deploy import Detach, follow
from gitship.model import Role, app_name

DEMO = "demo"


@command(
    "demo:create",
    Role.DEPLOYER,
    "create and deploy a small demo app",
    details="Its image is built FROM scratch and needs no registry. Clone it, change it and push it. "
    "`apps:destroy demo --force` deletes it.",
    examples=("demo:create", "demo:create first"),
)
def create(
    app: Annotated[str, Parameter(name="APP", help="its name")] = DEMO,
    /,
    *,
    context: Ctx,
    detach: Detach = False,
) -> None:
    visible_apps.require_all_apps(context.identity, "making apps")
    refuse_existing(context, app_name(app))
    url = context.remote(app_name(app))
    files = demo.archive(app, url)
    made = context.operations.apps.create(app, context.identity)
    begun = context.operations.git.archive(made, files, context.identity, title="A page to begin with")
    context.record(f"{begun.cause}, deploy {begun.id}")
    follow(context, made.name, begun, detach=detach)
    context.note(f"make it yours: git clone {url}")
