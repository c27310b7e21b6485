"""Follows a deploy: prints its log lines, then its result."""

from __future__ import annotations

from collections import deque
from typing import Annotated

from cyclopts import Parameter

from gitship.console.context import Context
from gitship.console.prompt import PromptInterrupted
from gitship.deploy import output
from gitship.errors import DeployError
from gitship.model import Deploy, DeployKind, DeployState

Detach = Annotated[bool, Parameter(name="--detach", help="don't wait for the deploy")]
LAST_LINES = 12  # among which a failed deploy has said why


def follow(context: Context, app: str, deploy: Deploy, *, detach: bool = False, raw: bool = False) -> None:
    """Prints the deploy's lines until it ends, with ``raw`` also what the build printed; without it not if `--quiet`.

    A change of config that a newer one took over from the queue is followed there.

    Raises DeployError when it ended without going live, PromptInterrupted when the client left before: the
    deploy goes on.
    """
    _note(context, deploy)
    if detach:
        context.line(f"deploy {deploy.id} of {app} has started; to see it: `logs:deploy {app} {deploy.id}` shows it")
        return
    last_lines: deque[str] = deque(maxlen=LAST_LINES)

    def write(line: str) -> None:
        if raw or not (context.quiet or output.is_raw(line)):
            last_lines.append(line)
            context.foreign_line(line)

    ended = context.operations.deploys.follow(deploy, write, context.session.closed)
    if ended.state.switched:
        return
    if not ended.state.ended:
        context.note(
            f"deploy {deploy.id} of {app} goes on; to see it: logs:deploy {app} {deploy.id};"
            f" to end it: deploys:cancel {app}"
        )
        raise PromptInterrupted
    if newer := _taken_over_by(context, ended):
        context.note(f"deploy {newer.id} of {app} makes this change, too")
        follow(context, app, newer, raw=raw)
        return
    raise _not_live(app, ended, reason_shown=any(ended.reason in line for line in last_lines))


def _taken_over_by(context: Context, deploy: Deploy) -> Deploy | None:
    """The deploy that makes the changes of one of config that was superseded in the queue."""
    if deploy.state is not DeployState.SUPERSEDED or deploy.kind is not DeployKind.CONFIG:
        return None
    later = [d for d in context.store.deploys(deploy.app_id) if d.id > deploy.id and d.kind is DeployKind.CONFIG]
    return min(later, key=lambda found: found.id, default=None)


def _note(context: Context, deploy: Deploy) -> None:
    """The audit log has which deploy came of the command, and what it was for unless the command has said so."""
    said, number = context.trail.detail, f"deploy {deploy.id}"
    if number not in said:
        context.record(", ".join(filter(None, (said or deploy.cause, number))))


def _not_live(app: str, deploy: Deploy, *, reason_shown: bool) -> DeployError:
    what = f"deploy {deploy.id} of {app}"
    if deploy.state is DeployState.SUPERSEDED:
        return DeployError(f"{what} was superseded by a newer one", f"see `deploys:list {app}`")
    how = "was canceled" if deploy.state is DeployState.CANCELED else "failed"
    if reason_shown or not deploy.reason:  # its own last lines have said why and what to do
        return DeployError(f"{what} {how}")
    stage = f" ({deploy.failed_stage})" if deploy.failed_stage else ""
    return DeployError(f"{what} {how}{stage}: {deploy.reason}", deploy.hint)
