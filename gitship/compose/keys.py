"""How keys of a Compose file are described, read by their description, and shown in the manual."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ParamSpec, TypeVar

from gitship.compose.model import ComposeNote
from gitship.errors import ConfigError, GitshipError
from gitship.schema import Value

P = ParamSpec("P")
T = TypeVar("T")

EXTENSION = "x-"
MOST_PROBLEMS = 20  # that one push names


class KeyUse(StrEnum):
    """What gitship does with a key. ``SILENT``: it makes no difference, and nothing is said."""

    HONOURED = "honoured"
    IGNORED = "ignored"
    REFUSED = "refused"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class ComposeKey:
    """``about`` is what an honoured key does, else the reason; ``way`` what to do in place of a refused one.

    ``same`` are values of an ignored or refused key that say what is so anyway. ``read`` reads an honoured one; with
    ``empty`` the empty text means something.
    """

    name: str
    use: KeyUse
    about: str
    way: str = ""
    same: tuple[Any, ...] = ()
    read: Callable[[Value], Any] = field(default=lambda value: value)
    empty: bool = False


def honoured(
    name: str, about: str, read: Callable[[Value], Any] = lambda value: value, empty: bool = False
) -> ComposeKey:
    return ComposeKey(name, KeyUse.HONOURED, about, read=read, empty=empty)


def ignored(about: str, *names: str, same: tuple[Any, ...] = ()) -> tuple[ComposeKey, ...]:
    return tuple(ComposeKey(name, KeyUse.IGNORED, about, same=same) for name in names)


def refused(name: str, reason: str, way: str, *same: Any) -> ComposeKey:
    return ComposeKey(name, KeyUse.REFUSED, reason, way, same=same)


def silent(about: str, *names: str) -> tuple[ComposeKey, ...]:
    return tuple(ComposeKey(name, KeyUse.SILENT, about) for name in names)


class ComposeRefused(ConfigError):
    """A Compose file that cannot be run as it is. ``problems`` are all that was found, each with its own hint."""

    def __init__(self, problems: Iterable[GitshipError]) -> None:
        self.problems = tuple(problems)
        first = self.problems[0]
        lines = [first.message, *(f"{one.message}; {one.hint}" for one in self.problems[1:])]
        super().__init__("\n".join(lines), first.hint)


class TooManyProblems(Exception):
    """No more are looked for. No error for people: what tries something and goes on is to let it through."""

    def __init__(self, problems: Iterable[GitshipError]) -> None:
        super().__init__()
        self.problems = tuple(problems)


@dataclass(slots=True)
class Findings:
    """What a file's reader has to say: problems, which are told together, and notes."""

    problems: list[GitshipError] = field(default_factory=list)
    _notes: dict[tuple[str, str], tuple[str, list[str]]] = field(default_factory=dict)

    def attempt(self, otherwise: T, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What ``read`` returns for these arguments; its error is kept, and ``otherwise`` goes on."""
        try:
            return read(*args, **kwargs)
        except ComposeRefused as error:
            for problem in error.problems:
                self.add(problem)
        except GitshipError as error:
            self.add(error)
        return otherwise

    def add(self, problem: GitshipError) -> None:
        """Raises TooManyProblems with all that there are."""
        self.problems.append(problem)
        if len(self.problems) >= MOST_PROBLEMS:
            raise TooManyProblems(self.problems)

    def ensure_none(self) -> None:
        """Raises ComposeRefused."""
        if self.problems:
            raise ComposeRefused(self.problems)

    def note(self, value: Value, what: str, text: str, of: str = "") -> None:
        """``what`` is the key; the same text of several services is one note."""
        _, names = self._notes.setdefault((what, text), (value.place, []))
        if of and of not in names:
            names.append(of)

    @property
    def notes(self) -> tuple[ComposeNote, ...]:
        return tuple(
            ComposeNote(place, f"{what}{f' ({_some(names)})' if names else ''} {text}")
            for (what, text), (place, names) in self._notes.items()
        )


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def read_keys(table: Value, keys: Mapping[str, ComposeKey], found: Findings, of: str = "") -> dict[str, Any]:
    """The honoured keys' values by name; the others are refused, noted or passed over. ``of``: the service, for notes.

    What is null counts as not there, and so does an empty text but of a command. Raises ConfigError for no mapping.
    """
    values: dict[str, Any] = {}
    for name, value in table.entries().items():
        key = keys.get(name)
        if key is None:
            if not name.startswith(EXTENSION):
                found.add(table.unknown(value, name, keys))
        elif key.use is KeyUse.HONOURED and (value.raw not in (None, "") or (value.raw == "" and key.empty)):
            problems = len(found.problems)
            one = found.attempt(None, key.read, value)
            if len(found.problems) == problems:
                values[name] = one
        elif key.use in (KeyUse.IGNORED, KeyUse.REFUSED) and not _says_nothing(value.raw, key):
            if key.use is KeyUse.REFUSED:
                found.add(ConfigError(f"{value.place}: {value.path}: {key.about}", key.way))
            else:
                short = value.path.split(".", 2)[-1] if of else value.path
                found.note(value, short, f"is ignored: {key.about}", of)
    return values


def _says_nothing(raw: Any, key: ComposeKey) -> bool:
    return raw in (None, False, "", "false") or raw == [] or raw == {} or raw in key.same


def by_name(*keys: ComposeKey | tuple[ComposeKey, ...]) -> dict[str, ComposeKey]:
    flat = [one for key in keys for one in (key if isinstance(key, tuple) else (key,))]
    return {key.name: key for key in flat}
