"""git: deploys of what no push brings, and the branch that deploys."""

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
ImageName = Annotated[str, Parameter(name="IMAGE", help="as in registry.example.com/shop:1.2; also @sha256:...")]
Setting = Annotated[Literal["deploy-branch"], Parameter(name="SETTING", help="what to set")]


@command(
    "git:deploy",
    Role.DEPLOYER,
    "deploy a branch or commit that the repository has",
    details="The deploy branch moves to it when it is live. Branches come in with `git push -o no-deploy`.",
    examples=("git:deploy shop feature", "git:deploy shop 1a2b3c4 --force"),
)
def deploy(
    app: AppName,
    revision: Revision,
    /,
    *,
    context: Ctx,
    force: Annotated[
        bool, Parameter(name="--force", help="also when it leaves out commits that the deploy branch has")
    ] = False,
    detach: Detach = False,
) -> None:
    found = context.app(app)
    begun = context.operations.sources.deploy(found, revision, context.identity, force=force)
    context.record(f"{short_commit(begun.commit)}, deploy {begun.id}")
    follow(context, found.name, begun, detach=detach)


@command(
    "git:from-image",
    Role.DEPLOYER,
    "deploy an image by its name, without a build",
    details="The engine's own image counts, else it is pulled; its CMD runs as web. The release keeps the image as it "
    "is now, whatever its tag names later. Logins: `registry:login`.",
    examples=("git:from-image shop registry.example.com/shop:1.2", "git:from-image shop shop:latest --pull"),
)
def from_image(
    app: AppName,
    image: ImageName,
    /,
    *,
    context: Ctx,
    pull: Annotated[bool, Parameter(name="--pull", help="ask the registry even when the engine has it")] = False,
    detach: Detach = False,
) -> None:
    found = context.app(app)
    begun = context.operations.sources.image(found, image, context.identity, pull=pull)
    context.record(f"{begun.cause}, deploy {begun.id}")
    follow(context, found.name, begun, detach=detach)


@command(
    "git:from-archive",
    Role.DEPLOYER,
    "deploy the files of a tar, plain or gzipped, that is piped in",
    details="It becomes a commit on the deploy branch, with exactly these files, and can be fetched once it is live. "
    "A single directory at its top is kept unless --strip 1 leaves it out.",
    examples=("git:from-archive shop < shop.tar.gz", "git:from-archive shop --strip 1 < shop-1.2.tar.gz"),
)
def from_archive(
    app: AppName,
    /,
    *,
    context: Ctx,
    strip: Annotated[
        int, Parameter(name="--strip", metavar="N", help="leave so many leading directories of each name out")
    ] = 0,
    detach: Detach = False,
) -> None:
    if not 0 <= strip <= MOST_STRIPPED:
        raise UsageError(f"--strip {strip} is out of range", f"0 to {MOST_STRIPPED}")
    found = context.app(app)
    if context.terminal:
        raise GitshipError("an archive cannot come from a terminal", f"pipe it in: git:from-archive {app} < app.tar.gz")
    begun = context.operations.sources.archive(found, context.session.stdin, context.identity, strip=strip)
    context.record(f"{begun.cause}, deploy {begun.id}")
    follow(context, found.name, begun, detach=detach)


@command(
    "git:set",
    Role.DEPLOYER,
    "say which branch deploys, from the next push on",
    details="What is live stays. The branch need not be there yet.",
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
    branch = context.operations.sources.set_branch(found, name, context.identity)
    context.record(f"{setting} {branch}")
    context.line(f"{found.name} deploys '{branch}' from now on")
    context.note(f"git push deploy {branch}, or, with what is there: git:deploy {found.name} {branch}")


@command(
    "git:info",
    Role.VIEWER,
    "an app's repository: the branch that deploys, its refs, its size",
    one=True,
    columns=(
        Column("deploy_branch", "the branch that deploys, null until the first push says"),
        Column("commit", "what that branch names, null when it is not there", short_commit),
        Column("refs", "branches and tags, each with its commit or tag object", lambda refs: _refs(refs)),
        Column("repository_bytes", "what it takes on the server's disk", size),
    ),
    examples=("git:info shop", "git:info shop --format json"),
    aliases=("git", "git:report"),
)
def info(app: AppName, /, *, context: Ctx, format: Format = "table") -> None:
    report = context.operations.sources.report(context.app(app))
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
