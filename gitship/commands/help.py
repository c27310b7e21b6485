"""help and version."""

from __future__ import annotations

import textwrap
from typing import Annotated

from cyclopts import Parameter
from rich.text import Text

from gitship import __version__
from gitship.console import command_registry, suggestions
from gitship.console.command_registry import Argument, Command, command
from gitship.console.context import Context, Ctx
from gitship.errors import UsageError, nearest
from gitship.model import Role

LEFT_COLUMNS = 32  # of the overview; few commands with their arguments are longer
TEXT_COLUMNS = 100  # in a pipe, where most help is read: `ssh` alone asks for no terminal


@command("help", Role.VIEWER, "all commands, or one in detail", examples=("help", "help config:set", "help config"))
def help_command(
    name: Annotated[str | None, Parameter(name="NAME", help="a command, or a noun such as config")] = None,
    /,
    *,
    context: Ctx,
) -> None:
    allowed = [c for c in command_registry.load().values() if not c.hidden and context.identity.role.allows(c.role)]
    if name is None:
        port = context.settings.ssh.listen.port
        context.line(f"gitship {__version__}: commands for `ssh -p {port} deploy@{context.ssh_host} COMMAND`")
        _overview(context, allowed)
        context.line("\n`help NAME` tells more; `--format json` and `--quiet` make listings fit for scripts.")
        return
    found = command_registry.find(name)
    of_noun = [c for c in allowed if c.noun == name]
    if of_noun and name not in command_registry.load():  # a noun such as ps, even when it is short for ps:list
        _overview(context, of_noun)
    elif found and (not found.hidden or context.identity.role.allows(found.role)):
        _details(context, found)
    elif (ours := suggestions.here(name)) is not None:
        raise UsageError(f"no command '{name[:80]}'", ours)
    else:
        near = nearest(name, [n for c in allowed for n in (c.name, c.noun, *c.aliases)])
        raise UsageError(f"no command '{name[:80]}'", f"did you mean `help {near}`?" if near else "`help` lists all")


def _overview(context: Context, commands: list[Command]) -> None:
    width = context.console.width if context.terminal else 10_000
    for _, group in command_registry.by_noun(commands):
        context.line("")
        for item in group:
            wanted = [a.usage for a in command_registry.arguments(item) if a.positional]
            left = " ".join([item.name, *wanted])
            if len(left) > LEFT_COLUMNS:
                context.console.print(Text(f"  {left}", style=""), soft_wrap=True)
                left = ""
            text = Text(f"  {left:<{LEFT_COLUMNS}} ").append(item.about)
            text.stylize("bold", 2, 2 + len(item.name))
            text.truncate(width, overflow="ellipsis")
            context.console.print(text, soft_wrap=True)


def _details(context: Context, command: Command) -> None:
    context.console.print(Text(command_registry.usage(command), style="bold"), soft_wrap=True)
    for paragraph in (command.about, *command.details.splitlines()):
        for line in _wrapped(context, paragraph, 2):
            context.line(f"  {line}")
    arguments = command_registry.arguments(command)
    rows = [(", ".join(a.names) + ("" if a.flag or a.positional else f" {a.value}"), _about(a)) for a in arguments]
    rows.append(
        (", ".join(command_registry.QUIET_FLAGS), "no remarks and no progress; of a listing the first column only")
    )
    rows.append(("-h, --help", "this text"))
    _section(context, "Arguments and options", rows)
    if command.columns:
        _section(context, command.json_shape, [(c.key, c.about) for c in command.columns])
    if command.aliases:
        _section(context, "Also known as", [(alias, "") for alias in command.aliases])
    if command.examples:
        _section(context, "Examples", [(example, "") for example in command.examples])
    context.line(f"\nNeeds the role {command.role}.")


def _about(argument: Argument) -> str:
    return argument.about + (f" (default {argument.default})" if argument.default else "")


def _section(context: Context, title: str, rows: list[tuple[str, str]]) -> None:
    context.line("")
    context.console.print(Text(title, style="bold"), soft_wrap=True)
    width = max(len(left) for left, _ in rows)
    for left, right in rows:
        for number, line in enumerate(_wrapped(context, right, width + 4) or [""]):
            context.line(f"  {'' if number else left:<{width}}  {line}".rstrip())


def _wrapped(context: Context, text: str, indent: int) -> list[str]:
    """Whole words in the columns that are left; never less than 24."""
    columns = context.console.width if context.terminal else TEXT_COLUMNS
    return textwrap.wrap(text, max(24, columns - indent), break_long_words=False, break_on_hyphens=False)


@command("version", Role.VIEWER, "the server's version", examples=("version",))
def version_command(*, context: Ctx) -> None:
    context.line(f"gitship {__version__}")
