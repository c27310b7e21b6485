"""Schema reader for JSON and TOML; errors name the file, the key and the nearest known key.

Everything that people write is read with it: the server's settings, gitship.toml, app.json, a Compose file, the
server's document.
"""

from __future__ import annotations

import json
import posixpath
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from gitship.errors import ConfigError, GitshipError, UsageError, nearest

T = TypeVar("T")

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, token
_HEADER_VALUE = re.compile(r"(?:[!-~](?:[ \t!-~]*[!-~])?)?")  # one line: nothing can be smuggled in behind it
_HTTP_PATH = re.compile(r"/[!-~]*")
_PERIODS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
MOST_BYTES = 64 << 10  # of a file: parsers take longer by the square of some of what can be in one
MOST_SHOWN = 24  # of the keys that are known
MOST_DURATION_S = 366 * 86_400
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def decode(file: str, content: bytes, most_bytes: int = MOST_BYTES) -> str:
    """UTF-8 with or without a byte order mark. Raises ConfigError."""
    if len(content) > most_bytes:
        raise ConfigError(f"{file} has more than {most_bytes >> 10} KB", "keep only what gitship reads")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not UTF-8 text (byte {error.start})", "save it as UTF-8") from None


def read_toml(file: str, text: str) -> Value:
    """The whole file. Raises ConfigError."""
    try:
        return Value(file, "", tomllib.loads(text))
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"{file} is not valid TOML: {error}", "strings need quotes, tables are [in.brackets]"
        ) from None


def zone(name: str) -> ZoneInfo:
    """Raises ValueError with the nearest name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        such = nearest(name, available_timezones()) or "Europe/Berlin"
        raise ValueError(f"is not a known time zone, for instance {such}") from None


def written_size(count: int) -> str:
    """Bytes as people write them for ``Value.size``: ``500m``."""
    if not count:
        return "0"
    unit, factor = next((unit, factor) for unit, factor in reversed(_UNITS.items()) if count % factor == 0)
    return f"{count // factor}{unit}"


_COMMAND = re.compile(r"[a-z]+(?::[a-z]+)+")


@dataclass(frozen=True, slots=True)
class Value:
    """``raw`` at ``path`` in ``file``, for instance "app.json" and "healthchecks.web[0].port".

    ``file`` may also be a command, ``path`` then what it calls the value. Every method raises ConfigError, of a command
    UsageError, when the value is of another kind, or out of range. ``places`` are file and line of what is below, by
    path, as far as its reader knows them: ``compose.yaml line 7``.
    """

    file: str
    path: str
    raw: Any
    places: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def place(self) -> str:
        """Where it stands, as errors name it."""
        return self.places.get(self.path, self.file)

    def error(self, must: str, hint: str = "") -> GitshipError:
        """``app.json: healthchecks.web[0].port must be ...``; of a command, which whoever typed it knows, no name."""
        if _COMMAND.fullmatch(self.file):
            return UsageError(f"{self.path} {must}", hint or f"not {shortened(self.raw)}; see `help {self.file}`")
        where = f"{self.place}: {self.path}" if self.path else self.place
        return ConfigError(f"{where} {must}", hint or f"it is {shortened(self.raw)}")

    def table(self) -> dict[str, Value]:
        """By key; what is null counts as not there."""
        return {name: value for name, value in self.entries().items() if value.raw is not None}

    def entries(self) -> dict[str, Value]:
        """By key, also what is null."""
        if not isinstance(self.raw, dict):
            if self.file.endswith(".json"):
                raise self.error("must be an object")
            if self.file.endswith((".yaml", ".yml")):
                raise self.error("must be a mapping")
            raise self.error("must be a table", f"write it as [{self.path}]")
        return {name: Value(self.file, path_below(self.path, name), v, self.places) for name, v in self.raw.items()}

    def known(self, keys: Iterable[str]) -> dict[str, Value]:
        """The table's values, none under another key than ``keys``."""
        table = self.table()
        for name, value in table.items():
            if name not in keys:
                raise self.unknown(value, name, keys)
        return table

    def unknown(self, value: Value, name: str, keys: Iterable[str]) -> GitshipError:
        """``value`` stands under ``name``, which is none of ``keys``."""
        prefix, near = f"{self.path}." if self.path else "", nearest(name, keys)
        known = [prefix + key for key in keys]
        more = f" and {len(known) - MOST_SHOWN} more" if len(known) > MOST_SHOWN else ""
        hint = f"did you mean '{prefix}{near}'?" if near else f"known: {', '.join(known[:MOST_SHOWN])}{more}"
        return ConfigError(f"{value.place}: unknown key '{value.path}'", hint)

    def items(self) -> list[Value]:
        if not isinstance(self.raw, list):
            raise self.error("must be a list")
        return [Value(self.file, f"{self.path}[{n}]", v, self.places) for n, v in enumerate(self.raw)]

    def text(self) -> str:
        """May be empty; never holds NUL or half a character."""
        if not isinstance(self.raw, str):
            raise self.error("must be a string")
        if "\0" in self.raw or any("\ud800" <= c <= "\udfff" for c in self.raw):
            raise self.error("must be a string without NUL characters or lone surrogates")
        return self.raw

    def line(self) -> str:
        """A text for people to see: no control characters."""
        if not self.text().isprintable():
            raise self.error("must be one line of printable text")
        return self.text()

    def flag(self) -> bool:
        if not isinstance(self.raw, bool):
            raise self.error("must be true or false")
        return self.raw

    def whole(self, low: int, high: int) -> int:
        if not isinstance(self.raw, int) or isinstance(self.raw, bool):
            raise self.error("must be a whole number")
        if not low <= self.raw <= high:
            raise self.error(f"must be a whole number from {low} to {high}")
        return self.raw

    def number(self, low: float, high: float, unit: str = "") -> float:
        if not isinstance(self.raw, int | float) or isinstance(self.raw, bool) or not low <= self.raw <= high:
            raise self.error(f"must be a number{unit} from {low:g} to {high:g}")
        return float(self.raw)

    def seconds(self, low: float = 0, high: float = 3600) -> float:
        return self.number(low, high, " of seconds")

    def duration(self, low: int = 0, high: int = MOST_DURATION_S) -> int:
        """Whole seconds from "90s", "10m", "1h", "7d" or a plain number."""
        text = str(self.raw) if isinstance(self.raw, str | int) and not isinstance(self.raw, bool) else ""
        match = re.fullmatch(r"([0-9]{1,9})([smhd]?)", text.strip().lower())
        if match is None:
            raise self.error('must be a time, for instance "90s", "10m" or "1h"')
        seconds = int(match[1]) * _PERIODS[match[2]]
        if not low <= seconds <= high:
            raise self.error(f"must be a time from {low} s to {high // 86400} days")
        return seconds

    def size(self, low: int = 0) -> int:
        """Bytes from "256m", "1g" or a plain number."""
        match = re.fullmatch(r"([0-9]{1,15})\s*([kmg]?)b?", str(self.raw).lower()) if self._is_size() else None
        if match is None:
            raise self.error('must be a size, for instance "256m" or "1g"')
        size = int(match[1]) * _UNITS[match[2]]
        if not low <= size < 1 << 50:
            raise self.error(f'must be at least "{low >> 20}m"')
        return size

    def _is_size(self) -> bool:
        return isinstance(self.raw, str | int) and not isinstance(self.raw, bool) and len(str(self.raw)[:32]) < 32

    def choice(self, *choices: str) -> str:
        """Upper and lower case are the same."""
        if not isinstance(self.raw, str) or self.raw.lower() not in choices:
            raise self.error("must be one of " + ", ".join(f'"{c}"' for c in choices if c))
        return self.raw.lower()

    def http_path(self) -> str:
        """With the query, as it goes into a request line."""
        if not _HTTP_PATH.fullmatch(self.text()):
            raise self.error("must be a path that begins with '/', without spaces", "write other characters as %20")
        return self.text()

    def header_name(self) -> str:
        if not _HEADER_NAME.fullmatch(self.text()):
            raise self.error("must be the name of an HTTP header")
        return self.text()

    def header_value(self) -> str:
        if not _HEADER_VALUE.fullmatch(self.text()):
            raise self.error("must be one line of plain characters")
        return self.text()

    def inside(self) -> str:
        """A path within the repository, cleaned; "" for its top."""
        path = posixpath.normpath(self.text()) if self.text() else ""
        if path.startswith(("/", "../")) or path == "..":
            raise self.error("must be a path within the repository")
        return "" if path == "." else path

    def timezone(self) -> str:
        return self.parsed(zone).key

    def parsed(self, parse: Callable[[str], T]) -> T:
        """What ``parse`` makes of the text; its ValueError says what the value must be."""
        try:
            return parse(self.text())
        except ValueError as error:
            raise self.error(str(error)) from None


def path_below(path: str, key: str) -> str:
    """The path of what stands under ``key``."""
    return f"{path}.{_shown(key)}" if path else _shown(key)


def _shown(key: str) -> str:
    return key if key.isprintable() and len(key) <= 60 else ascii(key)[:60]


def shortened(raw: Any) -> str:
    """The value as it may stand in a one-line message."""
    try:
        text = json.dumps(raw)
    except (TypeError, ValueError, RecursionError):
        text = type(raw).__name__
    return text if len(text) <= 60 else text[:57] + "..."
