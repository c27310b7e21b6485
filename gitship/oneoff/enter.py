"""Runs a command in a running container of the live release."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress

from gitship.containers.attach_client import AttachedClient, execute
from gitship.engine.interface import Engine
from gitship.errors import EngineError, NotFound
from gitship.model import App, Container
from gitship.oneoff.programs import NOT_EXECUTABLE, NOT_FOUND, ProgramCommand


def enter(
    engine: Engine,
    app: App,
    containers: Sequence[Container],
    process: str | None,
    number: int | None,
    command: ProgramCommand,
    client: AttachedClient,
) -> int:
    """The exit code. Raises NotFound when no such container of the app runs, ClientLeft, EngineError."""
    fitting = [c for c in containers if process in (None, c.process) and number in (None, c.index)]
    if not fitting:
        running = sorted({f"{c.process}.{c.index}" for c in containers})
        wanted = "nothing" if process is None else f"no {process}" + ("" if number is None else f".{number}")
        hint = f"these are: {', '.join(running)}" if running else f"scale it up, or use `run {app.name}`"
        raise NotFound(f"{wanted} of {app.name} is running", hint)
    first = min(fitting, key=lambda c: (c.process != "web", c.process, c.index))
    try:
        return execute(engine, first.id, command.words, command.env, client)
    except EngineError as error:
        return not_run(error, client)


def not_run(error: EngineError, client: AttachedClient) -> int:
    """The exit code of a command that could not be started; any other error is raised again."""
    text = error.message
    if re.search(r"not found|no such file", text, re.I) and "exec" in text:
        code = NOT_FOUND
    elif re.search(r"permission denied", text, re.I) and "exec" in text:
        code = NOT_EXECUTABLE
    else:
        raise error
    tell(client, text)
    return code


def tell(client: AttachedClient, text: str) -> None:
    with suppress(OSError):
        client.stderr.write(text.encode("utf-8", "replace") + (b"\r\n" if client.pty is not None else b"\n"))
