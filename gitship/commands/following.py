"""Showing a deploy to whoever asked for it: its lines, then how it ended."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

from cyclopts import Parameter

from gitship.commands.console import ClientGone
from gitship.commands.context import Context
from gitship.errors import DeployError
from gitship.model import Deploy, DeployState

Detach = Annotated[bool, Parameter(name="--detach", help="don't wait for the deploy")]
EXIT_FOLLOW_ENDED = 130  # the viewer left, the deploy goes on


def follow(context: Context, app: str, deploy: Deploy, *, detach: bool = False) -> int:
    """Prints the deploy's lines until it ends; 130 when the client left. Raises DeployError unless it went live."""
    again = f"`logs:deploy {app} {deploy.id}` shows it"
    if detach:
        context.line(f"deploy {deploy.id} of {app} has begun; {again}")
        return 0

    def write(line: str) -> None:
        with suppress(ClientGone):  # which has set session.closed; the deploy is not the viewer's
            context.foreign_line(line)

    ended = context.operations.follow(deploy, write, context.session.closed)
    if ended.state.switched:
        return 0
    if not ended.state.ended:
        context.note(f"deploy {deploy.id} of {app} goes on; {again}")
        return EXIT_FOLLOW_ENDED
    raise not_live(app, ended)


def not_live(app: str, deploy: Deploy) -> DeployError:
    """Why an ended deploy did not go live, as one error."""
    if deploy.state is DeployState.FAILED:
        stage = f" ({deploy.failed_stage})" if deploy.failed_stage else ""
        reason = f": {deploy.reason}" if deploy.reason else ""
        return DeployError(f"deploy {deploy.id} of {app} failed{stage}{reason}", deploy.hint)
    if deploy.state is DeployState.SUPERSEDED:
        return DeployError(f"deploy {deploy.id} of {app} gave way to a newer one", f"see `deploys:list {app}`")
    return DeployError(f"deploy {deploy.id} of {app} was canceled{': ' + deploy.reason if deploy.reason else ''}")
