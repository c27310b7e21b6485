"""Registry of commands: each is a function with typed parameters in a module of ``gitship.commands``."""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, TypeVar, get_args, get_origin

from cyclopts import App, ArgumentCollection, CycloptsError, Parameter
from cyclopts.exceptions import MissingArgumentError, UnusedCliTokensError

from gitship.console.columns import Column
from gitship.console.escapes import printable
from gitship.errors import UsageError
from gitship.model import Role

Handler = TypeVar("Handler", bound=Callable[..., int | None])
QUIET_FLAGS = ("-q", "--quiet")
SHOWN_INPUT_CHARS = 200  # of what was typed wrongly


@dataclass(frozen=True, slots=True)
class Command:
    """``name`` is ``noun:verb``; ``role`` is what it needs; ``columns`` are the keys of ``--format json``, which is one
    object where ``one`` is true, and else an array of them.

    After ``program_after`` arguments all words are a program's own: no option of the command stands among them.
    """

    name: str
    role: Role
    about: str
    handler: Callable[..., int | None]
    columns: tuple[Column, ...] = ()
    examples: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    details: str = ""
    hidden: bool = False
    program_after: int | None = None
    one: bool = False

    @property
    def noun(self) -> str:
        return self.name.partition(":")[0]

    @property
    def json_shape(self) -> str:
        """What `--format json` prints, before the keys are named."""
        return "JSON keys, of one object" if self.one else "JSON keys"


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument or option of a command, as help and the manual show it; ``value`` stands for an option's value."""

    names: tuple[str, ...]
    about: str
    positional: bool
    required: bool
    repeated: bool
    flag: bool
    value: str
    choices: tuple[str, ...]
    default: str

    @property
    def usage(self) -> str:
        """As it stands in the usage line: ``APP``, ``[NAME=VALUE ...]``, ``[--follow]``, ``[-n N]``."""
        if self.positional:
            name = self.names[0] + (" ..." if self.repeated else "")
            return name if self.required else f"[{name}]"
        text = self.names[0] if self.flag else f"{self.names[0]} {self.value}"
        return text if self.required else f"[{text}]"


_commands: dict[str, Command] = {}
_bare = Parameter(negative=())  # no --no-force
# An App that is shared is not safe in threads; a new one for each call costs more than this lock.
_parse_lock = threading.Lock()
_load_lock = threading.Lock()


class _Parser(App):
    """What a command takes is assembled once: it is most of the time of a parse."""

    _assembled: ArgumentCollection | None = None

    def assemble_argument_collection(
        self, *, default_parameter: Parameter | None = None, parse_docstring: bool = False
    ) -> ArgumentCollection:
        if self._assembled is None:
            self._assembled = super().assemble_argument_collection(default_parameter=_bare)
        return self._assembled.copy(reset_tokens=True)  # as cyclopts itself parses twice; no argument here has parts


@functools.cache
def _parser(command: Command) -> App:
    """With this command alone: cyclopts looks at all commands of an App, several times in each parse."""
    made = _Parser(
        name="gitship",
        help_flags=[],  # help is our own, so that cyclopts prints nothing: a console that an App keeps leaks (measured)
        version_flags=[],
        default_parameter=_bare,
        exit_on_error=False,
        print_error=False,
    )
    made.command(command.handler, name=command.name)
    return made


def command(
    name: str,
    role: Role,
    about: str,
    *,
    columns: tuple[Column, ...] = (),
    examples: tuple[str, ...] = (),
    aliases: tuple[str, ...] = (),
    details: str = "",
    hidden: bool = False,
    program_after: int | None = None,
    one: bool = False,
) -> Callable[[Handler], Handler]:
    """Declares the decorated function as a command; beside its arguments it gets the session's ``context``."""

    def declare(handler: Handler) -> Handler:
        assert name not in _commands, f"{name} is declared twice"
        _commands[name] = Command(
            name, role, about, handler, columns, examples, aliases, details, hidden, program_after, one
        )
        return handler

    return declare


@functools.cache  # reading the directory takes 0.2 ms, several times in each command
def load() -> dict[str, Command]:
    """All commands by name: imports every module of ``gitship.commands``, so that a new noun is one new file."""
    with _load_lock:
        commands = importlib.import_module("gitship.commands")  # at the first use: every command imports this module
        for module in pkgutil.iter_modules(commands.__path__, "gitship.commands."):
            importlib.import_module(module.name)
    return _commands


def by_noun(commands: Iterable[Command]) -> list[tuple[str, list[Command]]]:
    """Commands in the order of help and the manual: by noun, those without a verb (help, version) last."""
    nouns: dict[str, list[Command]] = {}
    for item in sorted(commands, key=lambda c: c.name):
        nouns.setdefault("" if item.name in ("help", "version") else item.noun, []).append(item)
    return sorted(nouns.items(), key=lambda pair: (not pair[0], pair[0]))


def find(name: str) -> Command | None:
    """The command of that name or short name."""
    known = load()
    return known.get(name) or next((c for c in known.values() if name in c.aliases), None)


def spoken(name: str, tokens: tuple[str, ...]) -> Command | None:
    """As ``find``; a short name of what shows one app means all of them when no app follows it: `stats`."""
    found = find(name)
    if found is None or name == found.name or found.name != f"{name}:show" or (every := find(f"{name}:list")) is None:
        return found
    with_value = {option for a in arguments(every) if not a.positional and not a.flag for option in a.names}
    before = ("", *tokens)
    alone = all(word.startswith("-") or before[n] in with_value for n, word in enumerate(tokens))
    return every if alone and not {"-h", "--help"} & set(tokens) else found


def delimited(command: Command, tokens: tuple[str, ...]) -> tuple[str, ...]:
    """The tokens with ``--`` before a program's own words, so that `run shop ls -l` needs none."""
    if command.program_after is None:
        return tokens
    with_value = {name for a in arguments(command) if not a.positional and not a.flag for name in a.names}
    positional, position = 0, 0
    while position < len(tokens) and tokens[position] != "--":
        token = tokens[position]
        if token.startswith("-") and len(token) > 1:
            position += 2 if token in with_value else 1
            continue
        if positional == command.program_after:
            return (*tokens[:position], "--", *tokens[position:])
        positional += 1
        position += 1
    return tokens


def quieted(command: Command, tokens: tuple[str, ...]) -> tuple[tuple[str, ...], bool]:
    """The tokens without `--quiet`, which every command takes, and whether it was there."""
    tokens = delimited(command, tokens)
    own = tokens.index("--") if "--" in tokens else len(tokens)
    kept = tuple(token for token in tokens[:own] if token not in QUIET_FLAGS)
    return (*kept, *tokens[own:]), len(kept) < own


def parse(command: Command, tokens: tuple[str, ...]) -> inspect.BoundArguments:
    """The tokens as the handler's arguments. Raises UsageError."""
    hint = f"usage: {usage(command)}; see `help {command.name}`"
    tokens = delimited(command, tokens)
    with _parse_lock:  # never around the body: `logs -f` would stop everybody
        try:
            _, bound, _ = _parser(command).parse_args([command.name, *tokens])
        except CycloptsError as error:
            raise UsageError(_explain(error), hint) from None
    return bound


def _explain(error: CycloptsError) -> str:
    if isinstance(error, MissingArgumentError) and error.argument is not None and not error.argument.tokens:
        name = error.argument.name
        return f"{name} needs a value" if name.startswith("-") and not error.argument.required else f"{name} is missing"
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        return f"too many arguments: {_short(' '.join(map(repr, error.unused_tokens)))}"
    text = _short(str(error).rstrip("."))
    return text[:1].lower() + text[1:]


def _short(text: str) -> str:
    text = printable(text)
    return text if len(text) <= SHOWN_INPUT_CHARS else text[:SHOWN_INPUT_CHARS] + "..."


@functools.cache  # 3 ms each: `help` would take 75 ms without it, and 4 with it
def arguments(command: Command) -> tuple[Argument, ...]:
    """What the command takes: arguments in order, then options."""
    with _parse_lock:
        collection = _parser(command)[command.name].assemble_argument_collection()
    found = []
    for item in collection:
        if not item.parse:
            continue
        info = item.field_info
        flag = item.hint is bool
        choices = _choices(item.hint)
        default = (
            "" if flag or item.required or info.default in (None, (), inspect.Parameter.empty) else str(info.default)
        )
        found.append(
            Argument(
                names=item.names,
                about=item.parameter.help or "",
                positional=info.kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL),
                required=item.required,
                repeated=info.kind is inspect.Parameter.VAR_POSITIONAL,
                flag=flag,
                value="|".join(choices) or item.parameter.metavar or item.names[-1].lstrip("-").upper(),
                choices=choices,
                default=default,
            )
        )
    return tuple(found)


def _choices(hint: Any) -> tuple[str, ...]:
    if get_origin(hint) is Literal:
        return tuple(map(str, get_args(hint)))
    return tuple(hint) if isinstance(hint, type) and issubclass(hint, StrEnum) else ()


def usage(command: Command) -> str:
    """``config:set APP [NAME=VALUE ...] [--detach]``; a program's words come last."""
    shown = arguments(command)
    if command.program_after is not None:
        shown = (*(a for a in shown if not a.repeated), *(a for a in shown if a.repeated))
    return " ".join([command.name, *(argument.usage for argument in shown)])
