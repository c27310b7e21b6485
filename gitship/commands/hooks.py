"""hooks: the server's own programs that run at the points of every deploy."""

from __future__ import annotations

from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import Ctx
from gitship.console.listing import Format, show
from gitship.deploy import hook_files
from gitship.deploy.hook_files import Point
from gitship.model import Role


@command(
    "hooks:list",
    Role.ADMIN,
    "the server's own hooks, in the order of a deploy, and whether each would run",
    details=(
        f"A hook is an executable in `<data_dir>/hooks/<point>.d/`; the points are {', '.join(Point)}. It runs without"
        " a shell, with GITSHIP_APP, GITSHIP_KIND (push, config, ...), GITSHIP_DEPLOY, GITSHIP_RELEASE, GITSHIP_COMMIT,"
        " GITSHIP_STAGE, GITSHIP_REASON, GITSHIP_URL and GITSHIP_POINT in its environment, and the deploy as JSON on"
        " standard input; what it prints stands in the deploy's log. After `hooks.timeout` seconds it is killed with"
        " all it started. When one of the first three points does not exit 0, or may not be run, the deploy fails and"
        " nothing has changed; the others change nothing. before-build and after-build are for pushes, rebuilds and"
        " retries, the rest for every deploy; on-failure not for one that was canceled or that gitship's own end cut"
        " short."
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
        for hook in hook_files.everything(context.settings.hooks_dir)
    ]
    show(context, rows, format, empty=f"no hooks; put executables into {context.settings.hooks_dir}/<point>.d")
