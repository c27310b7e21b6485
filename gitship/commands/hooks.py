"""hooks: the server's own programs that run at the points of every deploy."""

from __future__ import annotations

from gitship.commands.context import Ctx
from gitship.commands.listing import Format, show
from gitship.commands.registry import Column, command
from gitship.deploy import hookfiles
from gitship.deploy.hookfiles import Point
from gitship.model import Role


@command(
    "hooks:list",
    Role.ADMIN,
    "the server's own hooks, in the order of a deploy, and whether each would run",
    details=(
        f"A hook is an executable in `<data_dir>/hooks/<point>.d/`; the points are {', '.join(Point)}. It is run"
        " without a shell, gets GITSHIP_APP, GITSHIP_KIND, GITSHIP_DEPLOY, GITSHIP_RELEASE, GITSHIP_COMMIT,"
        " GITSHIP_STAGE, GITSHIP_REASON, GITSHIP_URL and GITSHIP_POINT, and the same and more as JSON on standard"
        " input; what it prints stands in the deploy's log. One that is before-..., or after-build, and does not exit"
        " 0, or may not be run, fails the deploy, and nothing has changed. The build's points are those of pushes,"
        " rebuilds and retries; the others are those of every deploy, on-failure not for one that was canceled."
    ),
    columns=(
        Column("point", "when it runs"),
        Column("name", "the file's name; they run in this order"),
        Column("runs", "true when it would run"),
        Column("reason", "why it would not"),
    ),
    examples=("hooks:list", "hooks:list --format json"),
    aliases=("hooks",),
)
def list_hooks(*, context: Ctx, format: Format = "table") -> None:
    rows = [
        {
            "point": hook.point.value,
            "name": hook.name,
            "runs": not (hook.refusal or hook.skipped),
            "reason": hook.refusal or hook.skipped,
        }
        for hook in hookfiles.everything(context.settings.hooks_dir)
    ]
    show(context, rows, format, empty=f"no hooks; put executables into {context.settings.hooks_dir}/<point>.d")
