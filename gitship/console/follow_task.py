"""Follows a task: prints its lines, then what has ended it."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from gitship.console.context import Context
from gitship.console.prompt import PromptInterrupted
from gitship.model.services import ServiceTask, TaskState

Detach = Annotated[bool, Parameter(name="--detach", help="don't wait for its end")]


def follow(context: Context, task: ServiceTask, *, detach: bool = False) -> None:
    """Raises GitshipError when it failed, PromptInterrupted when the client left before: the task goes on."""
    context.record(f"{context.trail.detail or task.subject.name}, task {task.id}")
    if detach:
        context.line(f"{task.kind} of {task.subject.name} has started; to see it: {task.subject.log_command}")
        return

    def write(line: str) -> None:
        if not context.quiet:
            context.foreign_line(line)

    ended = context.operations.services.tasks.follow(task, write, context.session.closed)
    if ended.state is TaskState.RUNNING:
        context.note(f"{task.kind} of {task.subject.name} goes on; to see it: {task.subject.log_command}")
        raise PromptInterrupted
