"""releases: list releases, roll back, and promote a release to another app."""

from __future__ import annotations

import re
from typing import Annotated

from cyclopts import Parameter

from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import AppName, Ctx
from gitship.console.follow_deploy import Detach, follow
from gitship.console.listing import NOTHING, Format, growth, moment, show, size, version
from gitship.errors import UsageError
from gitship.model import Release, Role

SHORT_COMMIT = 7

ReleaseName = Annotated[
    str | None, Parameter(name="RELEASE", help="for example v3 (default: the last good one before)")
]
LiveOrNamed = Annotated[str | None, Parameter(name="RELEASE", help="for example v3 (default: the live one)")]
TargetApp = Annotated[str, Parameter(name="TO_APP", help="the app to deploy to")]


def release_number(text: str) -> int:
    """``v3`` or ``3``. Raises UsageError."""
    match = re.fullmatch(r"v?([0-9]{1,9})", text)
    if not match:
        raise UsageError(f"'{text[:80]}' is not a release", "for instance v3; see `releases:list`")
    return int(match[1])


def short_commit(commit: str | None) -> str:
    """The commit's first letters."""
    return (commit or "")[:SHORT_COMMIT]


@command(
    "releases:list",
    Role.VIEWER,
    "list an app's releases, newest first",
    columns=(
        Column("release", "its number", version),
        Column("live", "true for the live release"),
        Column(
            "went_live",
            "false if its deploy failed",
            lambda was: NOTHING if was else "never live",
            title="note",
        ),
        Column("commit", "its commit", short_commit),
        Column("image_bytes", "the image's size", size),
        Column("growth_bytes", "compared with the previous live release, null for the first", growth),
        Column("created_at", "when it was made"),
        Column("created_by", "the key that started it"),
        Column("cause", "what created it"),
    ),
    examples=("releases:list shop", "releases:list shop --format json"),
    aliases=("releases",),
)
def list_releases(app: AppName, /, *, context: Ctx, format: Format = "table") -> None:
    found = context.app(app)
    releases = context.store.releases(found.id)
    good = {release.id for release in context.store.good_releases(found.id)}
    before: dict[int, Release] = {}
    last = None
    for release in reversed(releases):
        if last:
            before[release.id] = last
        last = release if release.id in good else last
    rows = [
        {
            "release": release.number,
            "live": release.id == found.live_release,
            "went_live": release.id in good,
            "commit": release.commit,
            "image_bytes": release.image_bytes,
            "growth_bytes": release.image_bytes - before[release.id].image_bytes if release.id in before else None,
            "created_at": moment(release.created_at),
            "created_by": release.created_by,
            "cause": release.cause,
        }
        for release in releases
    ]
    show(context, rows, format, empty=f"no releases yet; push to {found.name}")


@command(
    "releases:rollback",
    Role.DEPLOYER,
    "roll back to an earlier release, with its image, config and processes",
    details="Volumes keep their current content. A release that mounts a host directory which the app may no "
    "longer use is refused: an admin can mount it again, or `git:deploy` deploys the old commit without "
    "it.",
    examples=("releases:rollback shop", "releases:rollback shop v3"),
    aliases=("rollback",),
)
def rollback(app: AppName, release: ReleaseName = None, /, *, context: Ctx, detach: Detach = False) -> None:
    number = release_number(release) if release is not None else None
    found = context.app(app)
    deploy = context.operations.releases.rollback(found, number, context.identity)
    follow(context, found.name, deploy, detach=detach)


@command(
    "releases:promote",
    Role.DEPLOYER,
    "deploy an app's release to another app, without a build",
    details="The other app keeps its config, scale and settings made by command; image and processes come from "
    "the release. The image is kept as long as either app needs it.",
    examples=("releases:promote staging shop", "releases:promote staging shop v3"),
)
def promote(
    app: AppName, to_app: TargetApp, release: LiveOrNamed = None, /, *, context: Ctx, detach: Detach = False
) -> None:
    number = release_number(release) if release is not None else None
    source, target = context.app(app), context.app(to_app)
    deploy = context.operations.releases.promote(source, target, number, context.identity)
    follow(context, target.name, deploy, detach=detach)
