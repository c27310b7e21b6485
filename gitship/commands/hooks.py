"""hooks: list the server's hooks, which run at fixed points of every deploy."""

from __future__ import annotations

from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import Ctx
from gitship.console.listing import Format, show
from gitship.deploy import hook_files
from gitship.deploy.hook_files import HookPoint
from gitship.model import Role


@command(
    "hooks:list",
    Role.ADMIN,
    "list the server's deploy hooks in order, and whether each would run",
    details=(
        f"A hook is an executable in `<data_dir>/hooks/<point>.d/`; the points are {', '.join(HookPoint)}. It runs "
        "without a shell, with GITSHIP_APP, GITSHIP_KIND (push, config, ...), GITSHIP_DEPLOY, GITSHIP_RELEASE, "
        "GITSHIP_COMMIT, GITSHIP_STAGE, GITSHIP_REASON, GITSHIP_URL and GITSHIP_POINT in its environment, and "
        "the deploy as JSON on standard input. Its output goes to the deploy's log. After `hooks.timeout` "
        "seconds it is killed with its child processes. If a hook of the first three points exits non-zero or "
        "may not be run, the deploy fails and nothing changes; the other points do not affect the deploy. "
        "before-build and after-build run for pushes, rebuilds and retries, the others for every deploy. "
        "on-failure does not run for a deploy that was canceled, or cut short because gitship stopped."
    ),
    columns=(
        Column("point", "when it runs"),
        Column("name", "the file's name; hooks run in this order"),
        Column("runs", "whether it would run"),
        Column("reason", "why it would not run"),
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
