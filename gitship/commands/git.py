"""git: deploy revisions, archives and images without a push, and set the deploy branch."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from gitship.commands.releases import short_commit
from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import AppName, Ctx
from gitship.console.follow_deploy import Detach, follow
from gitship.console.listing import NOTHING, Format, show_one, size
from gitship.errors import GitshipError, UsageError
from gitship.model import Role

MOST_STRIPPED = 100

Revision = Annotated[str, Parameter(name="REVISION", help="a branch, a tag, or a commit with 7 digits or more")]
ImageName = Annotated[
    str, Parameter(name="IMAGE", help="for example registry.example.com/shop:1.2, or with @sha256:...")
]
Setting = Annotated[Literal["deploy-branch"], Parameter(name="SETTING", help="what to set")]


@command(
    "git:deploy",
    Role.DEPLOYER,
    "deploy a branch or commit from the repository",
    details="The deploy branch moves to it once it is live. To push a branch without deploying it: `git push -o "
    "no-deploy`.",
    examples=("git:deploy shop feature", "git:deploy shop 1a2b3c4 --force"),
)
def deploy(
    app: AppName,
    revision: Revision,
    /,
    *,
    context: Ctx,
    force: Annotated[bool, Parameter(name="--force", help="even if it drops commits of the deploy branch")] = False,
    detach: Detach = False,
) -> None:
    found = context.app(app)
    begun = context.operations.git.deploy(found, revision, context.identity, force=force)
    context.record(f"{short_commit(begun.commit)}, deploy {begun.id}")
    follow(context, found.name, begun, detach=detach)


@command(
    "git:from-image",
    Role.DEPLOYER,
    "deploy an existing image without a build",
    details="Uses the image on this server if there is one, else pulls it; its CMD runs as web. The release "
    "keeps this image even if the tag moves. To log in to a registry: `registry:login`.",
    examples=("git:from-image shop registry.example.com/shop:1.2", "git:from-image shop shop:latest --pull"),
)
def from_image(
    app: AppName,
    image: ImageName,
    /,
    *,
    context: Ctx,
    pull: Annotated[bool, Parameter(name="--pull", help="pull even if the image is on this server")] = False,
    detach: Detach = False,
) -> None:
    found = context.app(app)
    begun = context.operations.git.image(found, image, context.identity, pull=pull)
    context.record(f"{begun.cause}, deploy {begun.id}")
    follow(context, found.name, begun, detach=detach)


@command(
    "git:from-archive",
    Role.DEPLOYER,
    "deploy a tar archive, plain or gzipped, from standard input",
    details="It becomes a commit with exactly these files on the deploy branch, and can be fetched once it is "
    "live. Use --strip 1 to remove a single top directory.",
    examples=("git:from-archive shop < shop.tar.gz", "git:from-archive shop --strip 1 < shop-1.2.tar.gz"),
)
def from_archive(
    app: AppName,
    /,
    *,
    context: Ctx,
    strip: Annotated[
        int, Parameter(name="--strip", metavar="N", help="number of leading directories to remove from file names")
    ] = 0,
    detach: Detach = False,
) -> None:
    if not 0 <= strip <= MOST_STRIPPED:
        raise UsageError(f"--strip {strip} is out of range", f"0 to {MOST_STRIPPED}")
    found = context.app(app)
    if context.terminal:
        raise GitshipError(
            "refusing to read an archive from a terminal", f"pipe it in: git:from-archive {app} < app.tar.gz"
        )
    begun = context.operations.git.archive(found, context.session.stdin, context.identity, strip=strip)
    context.record(f"{begun.cause}, deploy {begun.id}")
    follow(context, found.name, begun, detach=detach)


@command(
    "git:set",
    Role.DEPLOYER,
    "set the deploy branch, from the next push on",
    details="The live release stays. The branch need not exist yet.",
    examples=("git:set shop deploy-branch production",),
)
def set_branch(
    app: AppName,
    setting: Setting,
    name: Annotated[str, Parameter(name="NAME", help="the branch")],
    /,
    *,
    context: Ctx,
) -> None:
    found = context.app(app)
    branch = context.operations.git.set_branch(found, name, context.identity)
    context.record(f"{setting} {branch}")
    context.line(f"{found.name} deploys '{branch}' from now on")
    context.note(f"git push deploy {branch}, or, with what is there: git:deploy {found.name} {branch}")


@command(
    "git:info",
    Role.VIEWER,
    "show an app's repository: deploy branch, refs and size",
    one=True,
    columns=(
        Column("deploy_branch", "the deploy branch, null before the first push"),
        Column("commit", "that branch's commit, null if it does not exist", short_commit),
        Column("refs", "branches and tags, each with its commit or tag object", lambda refs: _refs(refs)),
        Column("repository_bytes", "its size on disk", size),
    ),
    examples=("git:info shop", "git:info shop --format json"),
    aliases=("git", "git:report"),
)
def info(app: AppName, /, *, context: Ctx, format: Format = "table") -> None:
    report = context.operations.git.report(context.app(app))
    row = {
        "deploy_branch": report.deploy_branch,
        "commit": report.commit,
        "refs": [{"ref": ref, "object": sha} for ref, sha in report.refs.items()],
        "repository_bytes": report.bytes,
    }
    show_one(context, row, format)


def _refs(refs: list[dict[str, str]]) -> str:
    shown = (f"{r['ref'].removeprefix('refs/heads/').removeprefix('refs/')} {short_commit(r['object'])}" for r in refs)
    return ", ".join(shown) or NOTHING
