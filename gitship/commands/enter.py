"""enter: run a command or a shell in a running container."""

from __future__ import annotations

import re
from typing import Annotated

from cyclopts import Parameter

from gitship.commands.ps import no_process
from gitship.console.command_registry import command
from gitship.console.context import AppName, Ctx
from gitship.console.prompt import PromptInterrupted
from gitship.containers.attach_client import ClientLeft
from gitship.model import Role
from gitship.oneoff.programs import ProgramCommand

SHELL = "/bin/sh"
_CONTAINER = re.compile(r"([a-z][a-z0-9-]*)(?:\.([1-9][0-9]{0,3}))?")

Process = Annotated[
    str | None, Parameter(name="PROCESS[.N]", help="the container, for example web or web.2 (default: the first web)")
]
Words = Annotated[str, Parameter(name="COMMAND", help=f"the command and its arguments (default {SHELL})")]


@command(
    "enter",
    Role.DEPLOYER,
    "open a shell or run a command in a running container",
    details="Streams and exit code are as with `run`. The command is killed when the client disconnects.",
    examples=("enter shop", "enter shop web ls -l", "enter shop worker.2"),
    aliases=("ps:exec",),
    program_after=2,
)
def enter(app: AppName, process: Process = None, /, *words: Words, context: Ctx) -> int | None:
    found = context.app(app)
    type_, number = None, None
    if process is not None:
        known = [p.type for p in context.store.release(found.live_release).processes] if found.live_release else []
        match = _CONTAINER.fullmatch(process)
        if known and (match is None or match[1] not in known):
            error = no_process(found.name, process, known)
            if not error.hint.startswith("did you mean"):  # the command itself, without the process before it
                error.hint = f"give a process before the command: {context.command.name} {found.name} {known[0]} ..."
            raise error
        if match is not None:
            type_, number = match[1], int(match[2]) if match[2] else None
    try:
        return context.operations.programs.enter(
            found, type_, number, ProgramCommand(words or (SHELL,)), context.session, context.identity
        )
    except ClientLeft:
        raise PromptInterrupted from None
