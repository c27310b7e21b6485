"""apps: create, list, rename, clone, lock and destroy apps."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from gitship.appfiles import mounts
from gitship.console import visible_apps
from gitship.console.app_states import STATES, states
from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import AppName, Context, Ctx
from gitship.console.follow_deploy import Detach, follow
from gitship.console.listing import Format, moment, show, version
from gitship.console.prompt import ask
from gitship.errors import AlreadyThere, GitshipError, UsageError
from gitship.model import App, Role, app_name
from gitship.observe.app_state import AppStates

MESSAGE_CHARS = 200
NewName = Annotated[str, Parameter(name="NEW", help="the new name")]
Message = Annotated[str, Parameter(name="MESSAGE", help="the reason, shown when a deploy is refused")]


@command(
    "apps:create",
    Role.DEPLOYER,
    "create an app; its first push would create it, too",
    examples=("apps:create shop",),
)
def create(app: AppName, /, *, context: Ctx) -> None:
    visible_apps.require_all_apps(context.identity, "making apps")
    refuse_existing(context, app_name(app))
    made = context.operations.apps.create(app, context.identity)
    context.line(f"created {made.name}")
    context.note(f"git remote add deploy {context.remote(made.name)}\ngit push deploy main")


def refuse_existing(context: Context, name: str) -> None:
    """For a key that may know of every app. Raises AlreadyThere."""
    if context.store.find_app(name) is not None:
        raise AlreadyThere(f"app '{name}' already exists", "choose another name, or push to it")


@command(
    "apps:list",
    Role.VIEWER,
    "list your apps, their live release and URLs",
    columns=(
        Column("name", "the app's name"),
        Column("state", STATES),
        Column("release", "the live release's number, null if none", version),
        Column("last_deploy", "state of the latest deploy, null if none"),
        Column("urls", "its URLs, best first"),
        Column("created_at", "when it was made"),
    ),
    examples=("apps:list", "apps:list --format json"),
    aliases=("apps",),
)
def list_apps(*, context: Ctx, format: Format = "table") -> None:
    known = states(context)
    rows = [_row(context, app, known) for app in context.apps()]
    show(context, rows, format, empty=_first_steps(context))


def _first_steps(context: Context) -> str:
    """What the key may do about it: one that is limited, or a viewer's, makes no app."""
    if context.identity.limited:
        return f"no apps that your key may use; an admin can run: keys:grant {context.identity.key_name} APP"
    if not context.identity.role.allows(Role.DEPLOYER):
        return "no apps yet; a deployer's or admin's first push creates one"
    return (
        "no apps yet. In a repository with a Dockerfile (hello is the app's name):\n"
        f"  git remote add deploy {context.remote('hello')}\n"
        "  git push deploy main\n"
        "or try a demo app: demo:create"
    )


def _row(context: Ctx, app: App, known: AppStates) -> dict[str, object]:
    newest = context.store.deploys(app.id, limit=1)
    return {
        "name": app.name,
        "state": known.of(app, newest[0] if newest else None).value,
        "release": context.store.release(app.live_release).number if app.live_release else None,
        "last_deploy": newest[0].state.value if newest else None,
        "urls": context.operations.domains.urls(app),
        "created_at": moment(app.created_at),
    }


@command(
    "apps:rename",
    Role.ADMIN,
    "rename an app with no failed request",
    details="Repository, releases, domains, config and scale stay. New containers start under the new name; the "
    "old host answers until traffic is switched to them. Then run: git remote set-url deploy "
    "ssh://.../NEW.",
    examples=("apps:rename shop store",),
)
def rename(app: AppName, new: NewName, /, *, context: Ctx, detach: Detach = False) -> None:
    app_name(new)
    found = context.app(app)
    context.record(f"to {new}")
    deploy = context.operations.apps.rename(found, new, context.identity)
    if deploy is not None:
        follow(context, found.name, deploy, detach=detach)
    if deploy is None or not detach:
        context.line(f"renamed {found.name} to {new}")
        context.note(f"git remote set-url deploy {context.remote(new)}")


def _tell_volumes(context: Context, app: App, new: str) -> None:
    """A clone of an app with a database in a volume comes up on an empty one."""
    mounted = [wanted for wanted in mounts.stored(context.store.app_settings(app.id)) if not wanted.host]
    if not mounted:
        return
    listed = ", ".join(f"{wanted.source} at {wanted.path}" for wanted in mounted)
    first = mounted[0]
    context.note(
        f"volumes are not copied: {listed}. To copy one: storage:export {app.name} {first.source} > file, "
        f"storage:mount {new} {first.source}:{first.path}, storage:import {new} {first.source} --replace < file"
    )


def _tell_links(context: Context, app: App, new: str) -> None:
    """A clone that is to have the same database is linked to it by somebody who means it."""
    for service, link in context.operations.services.of_app(app):
        read_only = " --read-only" if link.read_only else ""
        context.note(
            f"the link to {service.name} is not copied. To link it: services:link {service.name} {new} "
            f"--alias {link.alias}{read_only}; for a copy of its data, first: services:clone {service.name} NEW"
        )


@command(
    "apps:clone",
    Role.DEPLOYER,
    "copy an app to a new name and deploy the same image",
    details="Repository, config, scale and settings (port, checks, limits, build, gates) are copied. Domains, "
    "mounts, the content of volumes and links to services are not; a message lists them. If its deploy fails, the "
    "new app still exists.",
    examples=("apps:clone shop shop-test", "apps:clone shop shop-test --no-deploy"),
)
def clone(
    app: AppName,
    new: NewName,
    /,
    *,
    context: Ctx,
    no_deploy: Annotated[bool, Parameter(name="--no-deploy", help="don't deploy yet")] = False,
    no_config: Annotated[bool, Parameter(name="--no-config", help="don't copy config variables")] = False,
    detach: Detach = False,
) -> None:
    visible_apps.require_all_apps(context.identity, "making apps")
    app_name(new)
    found = context.app(app)
    context.record(f"to {new}")
    refuse_existing(context, new)
    deploy = context.operations.apps.clone(found, new, context.identity, config=not no_config, deploy=not no_deploy)
    context.line(f"cloned {found.name} to {new}")
    _tell_volumes(context, found, new)
    _tell_links(context, found, new)
    if deploy is not None:
        follow(context, new, deploy, detach=detach)


@command(
    "apps:lock",
    Role.DEPLOYER,
    "refuse deploys of an app: pushes, config, scale, rollback, restart",
    details="Queued and running deploys go on. A refused deploy shows the message and who locked the app.",
    examples=("apps:lock shop 'sale until Friday'",),
)
def lock(app: AppName, /, *message: Message, context: Ctx) -> None:
    text = " ".join(message)
    if len(text) > MESSAGE_CHARS or not text.isprintable():
        raise UsageError(
            "the message is too long or not a single line", f"one line of at most {MESSAGE_CHARS} characters"
        )
    found = context.app(app)
    there = context.operations.apps.locked(found)
    if there is not None and (there.by, there.message) == (context.identity.key_name, text):
        context.note("no change")
        return
    context.operations.apps.lock(found, context.identity, text)
    context.line(f"locked {found.name}")


@command("apps:unlock", Role.DEPLOYER, "allow deploys of a locked app again", examples=("apps:unlock shop",))
def unlock(app: AppName, /, *, context: Ctx) -> None:
    found = context.app(app)
    if context.operations.apps.locked(found) is None:
        context.note(f"{found.name} is not locked: no change")
        return
    gone = context.operations.apps.unlock(found, context.identity)
    context.line(f"unlocked {found.name}, which {gone.by} had locked")


@command(
    "apps:destroy",
    Role.ADMIN,
    "delete an app permanently: containers, volumes with their data, images, repository, releases, config, logs",
    details="Asks for the app's name on a terminal; otherwise --force is required.",
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
    context.operations.apps.destroy(found, context.identity)
    context.line(f"destroyed {found.name}")


def _confirm(context: Ctx, name: str) -> None:
    if not context.terminal:
        raise GitshipError(
            f"'{name}' would be deleted permanently, with the data in its volumes",
            "add --force, or use a terminal (`ssh -t`)",
        )
    if (
        ask(
            context.session,
            f"This deletes {name} permanently, with all data in its volumes. Type its name to continue: ",
        ).strip()
        != name
    ):
        raise GitshipError("the name does not match: nothing was removed")
