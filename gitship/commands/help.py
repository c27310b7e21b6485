"""help and version."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar

from cyclopts import Parameter
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import CodeBlock, Heading, Markdown
from rich.text import Text

from gitship import __version__, docs
from gitship.console import command_registry, listing, suggestions
from gitship.console.columns import Column
from gitship.console.command_registry import Argument, Command, command
from gitship.console.context import Context, Ctx
from gitship.console.listing import Format
from gitship.docs import ManualTopic
from gitship.errors import UsageError, nearest
from gitship.model import Role

LEFT_COLUMNS = 32  # of the overview; few commands with their arguments are longer
TEXT_COLUMNS = 100  # in a pipe, where most help is read: `ssh` alone asks for no terminal


COLUMNS = (
    Column("name", "the command's or topic's name"),
    Column("kind", "command or topic"),
    Column("about", "a summary"),
    Column("text", "a topic's text as Markdown; null for a command, or without NAME"),
)


class Verbatim(CodeBlock):
    """Lines as they are written, however narrow the reader's terminal: a wrapped comment, pasted, would be run."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        code = textwrap.indent(str(self.text).rstrip(), "    ")
        yield Text(code, style="cyan", no_wrap=True, overflow="ignore")


class Title(Heading):
    LEVEL_ALIGN: ClassVar = {}  # all to the left


class HelpPage(Markdown):
    elements: ClassVar = {**Markdown.elements, "fence": Verbatim, "heading_open": Title}


@command(
    "help",
    Role.VIEWER,
    "list all commands and topics, or show one in detail",
    columns=COLUMNS,
    examples=("help", "help config:set", "help config", "help rollbacks", "help volumes --format json"),
)
def help_command(
    name: Annotated[str | None, Parameter(name="NAME", help="a command, a noun such as config, or a topic")] = None,
    /,
    *,
    context: Ctx,
    format: Format = "table",
) -> None:
    known = command_registry.load()
    allowed = [c for c in known.values() if not c.hidden and context.identity.role.allows(c.role)]
    of_noun = [] if name in known else [c for c in allowed if c.noun == name]  # ps, even when short for ps:list
    found = command_registry.find(name or "")
    if found is not None and found.hidden and not context.identity.role.allows(found.role):
        found = None
    topic = docs.topics().get(name or "")
    port, host = context.settings.ssh.listen.port, context.ssh_host
    if name is not None and not (of_noun or found or topic):
        raise _unknown(name, allowed)
    if format == "json":
        commands = allowed if name is None else of_noun or [c for c in [found] if c]
        topics = docs.topics().values() if name is None else [t for t in [topic] if t]
        listing.show(context, _rows(commands, topics, name is not None), format, empty="")
    elif name is None:
        context.line(f"gitship {__version__}: commands for `ssh -p {port} deploy@{host} COMMAND`")
        _overview(context, allowed)
        _section(context, "Topics", [(topic.name, topic.about) for topic in docs.topics().values()])
        context.line("\n`help NAME` shows details. For scripts, use `--format json` or `--quiet`.")
    elif of_noun:
        _overview(context, of_noun)
    elif found:
        _details(context, found)
    elif topic:
        _read(context, topic)
        if "\nship " in topic.text:
            context.line(f"\n`ship` stands for `ssh -p {port} deploy@{host}`.")


def _unknown(name: str, allowed: list[Command]) -> UsageError:
    if (ours := suggestions.here(name)) is not None:
        return UsageError(f"no command '{name[:80]}'", ours)
    near = nearest(name, [*docs.topics(), *(n for c in allowed for n in (c.name, c.noun, *c.aliases))])
    hint = f"did you mean `help {near}`?" if near else "`help` lists all"
    return UsageError(f"no command or topic '{name[:80]}'", hint)


def _rows(commands: Iterable[Command], topics: Iterable[ManualTopic], whole: bool) -> list[dict[str, Any]]:
    rows: list[tuple[Any, ...]] = [(c.name, "command", c.about, None) for c in commands]
    rows += [(t.name, "topic", t.about, t.text if whole else None) for t in topics]
    return [dict(zip((c.key for c in COLUMNS), row, strict=True)) for row in rows]


def _read(context: Context, topic: ManualTopic) -> None:
    """Wrapped to the reader's width. Links to other topics become the command that shows them."""
    text = re.sub(r"\[([^\]]+)\]\(([a-z-]+)\.md[^)]*\)", r"\1 (`help \2`)", topic.text)
    text = re.sub(r"\[([^\]]+)\]\(#[^)]*\)", r"\1", text)
    if not context.console.color_system:  # marks in place of styles
        prose_and_code = re.split(r"(^```.*?^```$)", text, flags=re.DOTALL | re.MULTILINE)
        prose_and_code[::2] = [_marked(prose) for prose in prose_and_code[::2]]
        text = "".join(prose_and_code)
    page = HelpPage(text, hyperlinks=False)
    width = context.console.width if context.terminal else TEXT_COLUMNS
    with context.console.capture() as shown:
        context.console.print(page, width=width, crop=False)
    context.line("\n".join(line.rstrip() for line in shown.get().strip("\n").split("\n")))


def _marked(prose: str) -> str:
    prose = re.sub(r"`([^`\n]+)`", r"`` `\1` ``", prose)
    return re.sub(r"^(#+ .*)$", lambda heading: heading[1].upper(), prose, flags=re.MULTILINE)


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
    rows.append((", ".join(command_registry.QUIET_FLAGS), "no remarks or progress; only the first column of a listing"))
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


@command("version", Role.VIEWER, "print the server's version", examples=("version",))
def version_command(*, context: Ctx) -> None:
    context.line(f"gitship {__version__}")
