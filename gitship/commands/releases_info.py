"""releases:info: show one release and its changes against the previous live one."""

from __future__ import annotations

import shlex

from gitship.commands.releases import LiveOrNamed, release_number, short_commit
from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import AppName, Context, Ctx
from gitship.console.listing import NOTHING, Format, growth, moment, show_one, size, version
from gitship.deploy.release_difference import config_changes
from gitship.errors import NotFound
from gitship.model import App, Process, Release, Role

MOST_COMMITS = 50


def _names(changes: dict[str, list[str]]) -> str:
    return "; ".join(f"{how} {', '.join(names)}" for how, names in changes.items() if names) or NOTHING


def _commits(commits: list[dict[str, str]]) -> str:
    return "; ".join(f"{short_commit(c['commit'])} {c['subject']}" for c in commits) or NOTHING


def _processes(processes: list[dict[str, str | None]]) -> str:
    return ", ".join(f"{p['process']}: {p['command'] or 'the image’s own command'}" for p in processes)


@command(
    "releases:info",
    Role.VIEWER,
    "show a release and its changes against the previous live one",
    one=True,
    columns=(
        Column("release", "its number", version),
        Column("live", "true for the live release"),
        Column("cause", "what created it"),
        Column("created_at", "when it was made"),
        Column("created_by", "the key that started it"),
        Column("commit", "its commit", short_commit),
        Column(
            "commits",
            f"commits since the previous live release, newest first, {MOST_COMMITS} at most",
            _commits,
        ),
        Column("image_bytes", "the image's size", size),
        Column("growth_bytes", "compared with the previous live release, null for the first", growth),
        Column("config", "names of variables added, removed and changed", _names),
        Column("processes", "the command of each, null for the image's own", _processes),
        Column("mounts", "its mounts, as SOURCE:PATH"),
        Column("links", "the services that it was linked to when it started, each with its alias"),
    ),
    examples=("releases:info shop", "releases:info shop v3 --format json"),
)
def info(app: AppName, release: LiveOrNamed = None, /, *, context: Ctx, format: Format = "table") -> None:
    number = release_number(release) if release is not None else None
    found = context.app(app)
    wanted = _wanted(context, found, number)
    show_one(context, _row(context, found, wanted, context.store.release_before(wanted)), format)


def _wanted(context: Context, app: App, number: int | None) -> Release:
    if number is not None:
        return context.store.release_number(app.id, number)
    if app.live_release is None:
        raise NotFound(f"{app.name} has no live release", "push to it first: git push deploy main")
    return context.store.release(app.live_release)


def _row(context: Context, app: App, release: Release, before: Release | None) -> dict[str, object]:
    old = before.commit if before else None
    commits = context.operations.releases.commits_between(app, old, release.commit, MOST_COMMITS)
    return {
        "release": release.number,
        "live": release.id == app.live_release,
        "cause": release.cause,
        "created_at": moment(release.created_at),
        "created_by": release.created_by,
        "commit": release.commit,
        "commits": [{"commit": c.sha, "subject": c.subject, "author": c.author} for c in commits],
        "image_bytes": release.image_bytes,
        "growth_bytes": release.image_bytes - before.image_bytes if before else None,
        "config": config_changes(before.config if before else {}, release.config),
        "processes": [_process(p) for p in release.processes],
        "mounts": [f"{m.source}:{m.path}" for m in release.mounts],
        "links": [link.label for link in context.store.release_links(release.id)],
    }


def _process(process: Process) -> dict[str, str | None]:
    return {"process": process.type, "command": None if process.command is None else shlex.join(process.command)}
