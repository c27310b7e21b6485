"""deploys: list, show, cancel and retry deploys; promote and abort canaries."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Annotated

from cyclopts import Parameter

from gitship.commands.releases import short_commit
from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import AppName, Context, Ctx
from gitship.console.follow_deploy import Detach, follow
from gitship.console.listing import NOTHING, Format, moment, show, show_one, version
from gitship.deploy.deploy_json import deploy_document
from gitship.errors import Conflict, DeployError, NotFound, UsageError
from gitship.model import App, Deploy, Role

MOST_DEPLOYS = 1000
OBJECT_ID = re.compile(r"[0-9a-f]{40}")

Count = Annotated[int, Parameter(name=("-n", "--lines"), metavar="N", help="number of entries")]
DeployId = Annotated[int | None, Parameter(name="ID", help="from `deploys:list` (default: the latest)")]


COLUMNS = (
    Column("id", "for `logs:deploy`"),
    Column("kind", "push, config, rollback, scale, restart, stop, start, rename, promote or image"),
    Column("cause", "what started it"),
    Column("state", "received, queued, building, ..., canary, ..., live, failed, canceled or superseded"),
    Column("release", "its release's number, null if none", version),
    Column("commit", "the deployed commit", short_commit),
    Column("created_at", "when it was created"),
    Column("finished_at", "when it finished"),
    Column("seconds", "from when it was created to its end", lambda s: NOTHING if s is None else f"{s:.1f}"),
    Column("created_by", "the key that started it"),
    Column("stages", "name, start and seconds of each", lambda stages: _stages(stages)),
    Column("failed_stage", "the stage that failed, null if none"),
    Column("reason", "why it ended early, or what failed after traffic was switched; else empty"),
    Column("hint", "what to do about it"),
    Column("request", "its request id in the server's log, empty if none"),
)
ONLY_OF_ONE = {"finished_at", "stages", "failed_stage", "hint", "request"}  # too wide for a table of many


@command(
    "deploys:list",
    Role.VIEWER,
    "list an app's deploys, newest first",
    columns=tuple(replace(column, json_only=column.key in ONLY_OF_ONE) for column in COLUMNS),
    examples=("deploys:list shop", "deploys:list shop -n 1 --format json"),
    aliases=("deploys",),
)
def list_deploys(app: AppName, /, *, context: Ctx, lines: Count = 20, format: Format = "table") -> None:
    if not 1 <= lines <= MOST_DEPLOYS:
        raise UsageError(f"-n {lines} is out of range", f"1 to {MOST_DEPLOYS} deploys")
    found = context.app(app)
    rows = [_row(context, deploy) for deploy in context.store.deploys(found.id, limit=lines)]
    show(context, rows, format, empty=f"no deploys yet; push to {found.name}")


def _row(context: Context, deploy: Deploy) -> dict[str, object]:
    release = context.store.release(deploy.release_id) if deploy.release_id else None
    times = {"created_at": moment(deploy.created_at), "finished_at": moment(deploy.finished_at)}  # shown as an age
    return deploy_document(deploy, release) | times


@command(
    "deploys:retry",
    Role.DEPLOYER,
    "retry the latest deploy of a commit that failed, was canceled or was rolled back automatically",
    details="The commit is in the repository already, so no push is needed.",
    examples=("deploys:retry shop",),
)
def retry(app: AppName, /, *, context: Ctx, detach: Detach = False) -> None:
    found = context.app(app)
    follow(context, found.name, context.operations.deploys.retry(found, context.identity), detach=detach)


@command(
    "deploys:info",
    Role.VIEWER,
    "show a deploy: its stages with their times, and why it ended",
    one=True,
    columns=COLUMNS,
    examples=("deploys:info shop", "deploys:info shop 12 --format json"),
)
def info(app: AppName, deploy: DeployId = None, /, *, context: Ctx, format: Format = "table") -> None:
    found = context.app(app)
    show_one(context, _row(context, _deploy(context, found, deploy)), format)


def _stages(stages: list[dict[str, object]]) -> str:
    return ", ".join(f"{s['stage']} {s['seconds']:.1f} s" for s in stages)


def _deploy(context: Context, app: App, deploy_id: int | None) -> Deploy:
    if deploy_id is None:
        newest = context.store.deploys(app.id, limit=1)
        if not newest:
            raise NotFound(f"{app.name} has never been deployed", "push to it: git push deploy main")
        return newest[0]
    try:
        found = context.store.deploy(deploy_id)
    except (NotFound, OverflowError):
        found = None
    if found is None or found.app_id != app.id:
        raise NotFound(f"{app.name} has no deploy {deploy_id}", f"see `deploys:list {app.name}`")
    return found


@command(
    "deploys:cancel",
    Role.DEPLOYER,
    "cancel an app's running or queued deploy; the live release stays",
    examples=("deploys:cancel shop",),
)
def cancel(app: AppName, /, *, context: Ctx) -> None:
    found = context.app(app)
    deploy = context.operations.deploys.cancel(found, context.identity)
    context.line(f"canceled deploy {deploy.id} of {found.name}")


@command(
    "deploys:promote",
    Role.DEPLOYER,
    "promote a canary: send all visitors to the new release now",
    details="`git push -o canary=5%` or `canary` in gitship.toml starts one; gitship also promotes or aborts it "
    "by itself.",
    examples=("deploys:promote shop",),
)
def promote(app: AppName, /, *, context: Ctx) -> None:
    found = context.app(app)
    deploy = context.operations.canaries.promote(found, context.identity)
    if not deploy.state.switched:
        raise DeployError(f"deploy {deploy.id} of {found.name} ended as {deploy.state}: {deploy.reason}", deploy.hint)
    context.line(f"promoted deploy {deploy.id} of {found.name}")


@command(
    "deploys:abort",
    Role.DEPLOYER,
    "abort a canary: send all visitors to the previous release, and fail the deploy",
    examples=("deploys:abort shop",),
)
def abort(app: AppName, /, *, context: Ctx) -> None:
    found = context.app(app)
    deploy = context.operations.canaries.abort(found, context.identity)
    if deploy.state.switched:
        raise Conflict(f"deploy {deploy.id} of {found.name} is {deploy.state} already", "see `releases:rollback`")
    context.line(f"aborted deploy {deploy.id} of {found.name}")


@command(
    "deploy:pushed",
    Role.ADMIN,
    "deploy what was pushed by other means; called by the repository's post-receive hook",
    hidden=True,
)
def pushed(
    app: AppName,
    old: Annotated[str, Parameter(name="OLD", help="the commit before")],
    new: Annotated[str, Parameter(name="NEW", help="the commit after")],
    ref: Annotated[str, Parameter(name="REF", help="the ref that moved")],
    /,
    *,
    context: Ctx,
) -> None:
    for commit in (old, new):
        if not OBJECT_ID.fullmatch(commit):
            raise UsageError(f"'{commit[:80]}' is not a commit id", "the hook gives 40 hexadecimal digits")
    found = context.app(app)
    deploy = context.operations.git.deploy_pushed(found, ref, old, new, context.identity)
    if deploy is None:
        context.note(f"{ref} is not the deploy branch of {found.name}: nothing to deploy")
        return
    follow(context, found.name, deploy)
