"""Applies settings of `ports`, `checks`, `resources` and `builder`, and reports the deploy they cause."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from gitship.appfiles import overrides
from gitship.appsettings import BUILDS, LIMIT, RUN
from gitship.console.context import Context
from gitship.console.follow_deploy import follow
from gitship.errors import UsageError
from gitship.model import PROCESS_TYPE, App
from gitship.store.settings import Changes

NoRestart = Annotated[
    bool, Parameter(name="--no-restart", help="only store the change; the next deploy or start uses it")
]
OneProcess = Annotated[str | None, Parameter(name="--process", metavar="P", help="only for this process type")]


def change(context: Context, app: App, changes: Changes, *, detach: bool, no_restart: bool) -> None:
    """Sets (with None, unsets) what differs, by a deploy when the app is live, and follows it."""
    # a deploy under way may be changing the very same, and what waits for a restart gets it now
    under_way = context.store.deploying(app.id)
    if not under_way and (no_restart or not context.operations.tuning.pending(app)):
        changes = context.store.app_settings(app.id).differing(changes)
    if not changes:
        context.note("no change")
        return
    deploy = context.operations.tuning.change(app, changes, context.identity, restart=not no_restart)
    what = overrides.describe(changes)
    context.record(what)
    context.line(f"{'changed' if deploy is None else 'changing'} {what} for {app.name}")
    if deploy is None:
        context.note(f"the next {_users(changes)} uses it")
        return
    follow(context, app.name, deploy, detach=detach)


def _users(changes: Changes) -> str:
    of = {LIMIT.name + RUN: "one-off container", LIMIT.name + BUILDS: "build"}
    whose = {of.get(name.rpartition(".")[0], "deploy") for name in changes}
    return whose.pop() if len(whose) == 1 else "deploy"


def process_type(context: Context, app: App, word: str) -> str:
    """``word`` when it is a process type that the app has, or may come to have. Raises UsageError or NotFound."""
    if not PROCESS_TYPE.fullmatch(word):
        raise UsageError(f"'{word[:80]}' is not a process type", "for instance web or worker")
    context.operations.tuning.ensure_process(app, word)
    return word


def note_pending(context: Context, app: App) -> None:
    """Says so when the live release does not have all of what is shown."""
    if not context.operations.tuning.pending(app):
        return
    if app.live_release is None:
        context.note("nothing is live yet: the first push uses it")
        return
    context.note(f"not yet fully live: run `ps:restart {app.name}`")
