"""server: export, apply and reconcile the whole server."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Annotated, Any

import tomli_w
from cyclopts import Parameter

from gitship.console import dispatch
from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import Context, Ctx, Services
from gitship.console.listing import Format, show
from gitship.console.prompt import PromptInterrupted, read_all
from gitship.errors import GitshipError, UsageError
from gitship.model import Key, Role
from gitship.serverfile import services, status_page, webhooks
from gitship.serverfile.document import (
    APPS,
    CONFIG,
    DOCUMENT_BYTES,
    KEYS,
    SERVICES,
    STATUS,
    WEBHOOKS,
    ServerFile,
    Step,
    parse,
    sections,
)
from gitship.serverfile.plan import plan

NoSecrets = Annotated[bool, Parameter(name="--no-secrets", help="leave out variables, passwords and webhooks")]
DryRun = Annotated[bool, Parameter(name="--dry-run", help="only show what would be done")]


@command(
    "server:export",
    Role.ADMIN,
    "export apps, config, settings and keys as one TOML document",
    details="`server:apply` reads it, here or on another server. It contains config values, passwords and "
    "webhooks: store it safely. Services and links are in it without their data and passwords. Not included: "
    "repositories, releases and volumes; certificates, registry "
    "logins and tokens of the status page; temporary states such as a stopped app, `checks:skip --once` "
    "or `cron:suspend` of an entry from the app's files. `server:backup` includes all of these.",
    examples=("server:export", "server:export --no-secrets"),
)
def export(*, context: Ctx, no_secrets: NoSecrets = False) -> None:
    document: dict[str, Any] = {} if no_secrets else {CONFIG: context.store.global_config()}
    if keys := context.store.keys():
        document[KEYS] = {key.name: _key(context, key) for key in keys}
    if not no_secrets and (found := webhooks.current(context)):
        document[WEBHOOKS] = found
    if status := status_page.current(context):
        document[STATUS] = status
    if backing := services.current(context):
        document[SERVICES] = backing
    document[APPS] = {}
    for app in context.apps():
        wanted = [one for one in sections() if not (no_secrets and one.secret)]
        values = {one.key: one.current(context, app) for one in wanted}
        document[APPS][app.name] = {one.key: values[one.key] for one in wanted if values[one.key] != one.empty}
    context.console.file.write(tomli_w.dumps(document))


def _key(context: Context, key: Key) -> dict[str, Any]:
    entry: dict[str, Any] = {"role": key.role.value, "key": key.public_key}
    if key.apps is not None:
        entry["apps"] = sorted(app.name for app in context.store.apps() if app.id in key.apps)
    return entry


@command(
    "server:apply",
    Role.ADMIN,
    "apply a TOML document from standard input to the server",
    details="Each section in the document is complete: a variable that [apps.shop.config] does not name is "
    "unset. Sections left out change nothing, and no app or service is ever destroyed: a service that is not in "
    "the document is named as kept. Runs the commands that the "
    "plan shows, with one deploy per app; a failed step does not stop other apps. Running it again does "
    "only what is missing. A key or webhook without `apps` is for all apps, with an empty list for none.",
    columns=(
        Column("step", "the command, without secret values"),
        Column("subject", "the app, service or key it changes"),
    ),
    examples=("server:apply < server.toml", "server:apply --dry-run < server.toml"),
)
def apply(*, context: Ctx, dry_run: DryRun = False, format: Format = "table") -> None:
    wanted = parse(read_all(context.session, DOCUMENT_BYTES))
    if wanted == ServerFile():
        raise UsageError("the document on standard input is empty", "`server:export` prints one")
    steps = plan(context, wanted)
    context.record(f"{len(steps)} steps{', dry run' if dry_run else ''}")
    for name in services.kept(context, services.read(wanted.services)) if wanted.services is not None else ():
        context.note(f"kept: the service {name} is not in the document")
    if dry_run:
        rows = [{"step": step.text, "subject": _subject(step)} for step in steps]
        show(context, rows, format, empty="no change")
        return
    if not steps:
        context.note("no change")
        return
    _carry_out(context, steps)


@command(
    "server:reconcile",
    Role.ADMIN,
    "compare the wanted state with Docker and Varnish, and repair differences",
    details="gitship does this by itself at start, after container events, every minute, and sooner after a "
    "failure. Missing containers are started or recreated, unwanted ones are drained and removed, and "
    "Varnish is updated. An app that is being deployed is left alone. A failure of one app does not stop "
    "the others: the command ends with an error that names each, and `gitship doctor` shows it.",
    columns=(
        Column("app", "the app, empty if none"),
        Column("action", "start, make anew, drain, remove or reload"),
        Column("subject", "the container or other part"),
        Column("why", "what was wrong"),
    ),
    examples=("server:reconcile --dry-run", "server:reconcile", "server:reconcile --format json"),
)
def reconcile(*, context: Ctx, dry_run: DryRun = False, format: Format = "table") -> None:
    reconciling = context.operations.reconciling
    changes = reconciling.look() if dry_run else reconciling.reconcile()
    context.record(f"{len(changes)} changes{', dry run' if dry_run else ''}")
    rows = [{"app": c.app, "action": c.action.value, "subject": c.subject, "why": c.why} for c in changes]
    show(context, rows, format, empty="no change: everything is as it should be")


def _subject(step: Step) -> str:
    """The app or key that the step is about; "" for what all apps share."""
    if step.argv[0].startswith("config:global:"):
        return ""
    if step.argv[0].startswith("services:"):
        return f"service {step.argv[1]}"
    return "status page" if step.argv[1] == "--status-page" else step.argv[1]


def _carry_out(context: Context, steps: list[Step]) -> None:
    """Every step whose subject had no failure. Raises GitshipError at the end when there was one."""
    failed: list[str] = []
    broken: set[str] = set()
    for step in steps:
        if _subject(step) in broken:
            continue
        context.line(f"-----> {step.text}")
        code = _run(context, step)
        if code == dispatch.EXIT_INTERRUPTED:
            raise PromptInterrupted
        if code:
            failed.append(step.text)
            broken.add(_subject(step))
    if failed:
        raise GitshipError(
            f"{len(failed)} of {len(steps)} steps failed: {'; '.join(failed)[:400]}",
            "fix the errors above and apply the same document again: finished steps stay done",
        )


def _run(context: Context, step: Step) -> int:
    session, stdin = context.session, io.BytesIO(step.stdin.encode())
    nested = replace(session, argv=step.argv, stdin=stdin, pty=None, env={})
    return dispatch.run(Services(context.store, context.settings, context.operations), nested)
