"""Kinds of values that a Compose file has: durations, sizes, switches, commands, lists or mappings of words.

What was interpolated is a text, also where a number or a switch is meant, and is read as such.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from decimal import Decimal

from gitship.errors import ConfigError
from gitship.schema import Value

Pairs = dict[str, str | None]  # None: named only

_DURATION = re.compile(r"(?:[0-9]{1,9}(?:\.[0-9]{1,9})?(?:ns|us|µs|ms|s|m|h|d|w))+")
_PART = re.compile(r"([0-9.]+)(ns|us|µs|ms|s|m|h|d|w)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?([kmgtp]?)i?b?", re.IGNORECASE)
_FACTORS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_YES, _NO = ("true", "yes", "y", "on", "1"), ("false", "no", "n", "off", "0")
_SYNTAX = re.compile(r"""(?:\\.|'[^']*'|"(?:\\.|[^"\\])*"|[^|&;<>\\'"])*+[|&;<>]""", re.DOTALL)


def text(value: Value) -> str:
    """A text; numbers and switches as Compose writes them. Not empty when nothing is there: null is refused."""
    raw = value.raw
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, float):
        shown = Decimal(repr(raw)).normalize()
        return f"{shown:f}" if raw == 0 or 1e-4 <= abs(raw) < 1e21 else f"{shown:e}".lower()
    return str(raw) if isinstance(raw, int) else value.text()


def line(value: Value) -> str:
    """A text that people see. Raises ConfigError."""
    if not text(value).isprintable():
        raise value.error("must be one line of printable text")
    return text(value)


def host_name(value: Value) -> str:
    """As Docker takes it, with `_`. Raises ConfigError."""
    if not _HOST.fullmatch(text(value)):
        raise value.error("must be a host name", "use letters, digits, '-', '_' and '.'")
    return text(value)


def flag(value: Value) -> bool:
    word = text(value).lower() if isinstance(value.raw, bool | str | int) else ""
    if word not in _YES + _NO:
        raise value.error("must be true or false")
    return word in _YES


def whole(value: Value, low: int, high: int) -> int:
    raw = value.raw
    if isinstance(raw, str) and re.fullmatch(r"-?[0-9]{1,18}", raw.strip()):
        raw = int(raw)
    return Value(value.file, value.path, raw, value.places).whole(low, high)


def number(value: Value, low: float, high: float) -> float:
    raw = value.raw
    if isinstance(raw, str) and re.fullmatch(r"[0-9]{1,9}(?:\.[0-9]{1,9})?|\.[0-9]{1,9}", raw.strip()):
        raw = float(raw)
    return Value(value.file, value.path, raw, value.places).number(low, high)


def duration_s(value: Value) -> float:
    """Seconds of `1m30s`; at most a year."""
    raw = value.raw.strip() if isinstance(value.raw, str) else ""
    if not _DURATION.fullmatch(raw) and raw != "0":
        shown = f"{raw or value.raw}s" if re.fullmatch(r"[0-9]{1,9}", raw or str(value.raw)[:20]) else "1m30s"
        raise value.error("must be a time with its unit", f'for instance "{shown}"')
    seconds = sum(float(amount) * _SECONDS[unit] for amount, unit in _PART.findall(raw))
    if seconds > 366 * 86_400:
        raise value.error("must be a time of a year at most")
    return seconds


def size(value: Value) -> int:
    """Bytes of `1.5gb`, `512m` or a plain number."""
    match = _SIZE.fullmatch(text(value).strip()) if isinstance(value.raw, str | int | float) else None
    found = int(Decimal(match[1]) * _FACTORS[match[2].lower()]) if match else 1 << 60
    if found >= 1 << 60:
        raise value.error("must be a size, for instance 512m or 1.5gb")
    return found


def texts(value: Value) -> tuple[str, ...]:
    """A list, or one text."""
    return tuple(text(item) for item in value.items()) if isinstance(value.raw, list) else (text(value),)


def pairs(value: Value) -> Pairs:
    """A mapping, or a list of NAME=VALUE; None where no value is given. No value stands in an error: it may be secret.

    Raises ConfigError.
    """
    if isinstance(value.raw, dict):
        found: Pairs = {}
        for name, one in value.entries().items():
            if isinstance(one.raw, dict | list):
                raise one.error("must be a text, a number, true or false", "write lists as one text")
            found[_name(one, name)] = None if one.raw is None else text(one)
        return found
    if not isinstance(value.raw, list):
        raise value.error("must be a mapping, or a list of NAME=VALUE")
    found = {}
    for one in value.items():
        if isinstance(one.raw, dict | list) or one.raw is None:
            raise one.error("must be NAME=VALUE", "in a list, write - NAME=VALUE; in a mapping, NAME: VALUE")
        name, equals, rest = text(one).partition("=")
        found[_name(one, name)] = rest if equals else None
    return found


def _name(value: Value, name: str) -> str:
    if not name.strip() or not name.isprintable() or "=" in name:
        raise value.error("must have a name before the '='", "write NAME=VALUE")
    return name


def command(value: Value) -> tuple[str, ...]:
    """The words of a list, or of a text by the shell's quoting rules; no words: the image's own counts not either.

    Raises ConfigError for a text with shell syntax: Compose gives it to no shell.
    """
    if isinstance(value.raw, list):
        return tuple(text(item) for item in value.items())
    written = text(value)
    if _SYNTAX.match(written):
        hint = "Compose has no shell here: write sh -c '...' around it, or a list"
        raise value.error("has |, &, ;, < or > outside quotes", hint)
    try:
        return tuple(shlex.split(written))
    except ValueError as error:
        raise value.error(f"cannot be split into words: {str(error).lower()}", "close every quote") from None


def repository_path(value: Value, directory: str = "") -> str:
    """A path within the repository, "" for its top; ``directory`` is what it is relative to. Raises ConfigError."""
    written = line(value)
    if written.startswith(("/", "~")) or "://" in written:
        raise value.error("must be a path within the repository", "write it relative to this file")
    return Value(value.file, value.path, f"{directory or '.'}/{written}", value.places).inside()


def known(value: Value, keys: Iterable[str]) -> dict[str, Value]:
    """As ``Value.known``; what begins with `x-` is for others."""
    table = {name: one for name, one in value.entries().items() if not name.startswith("x-")}
    for name, one in table.items():
        if name not in keys:
            raise value.unknown(one, name, keys)
    return {name: one for name, one in table.items() if one.raw is not None}


def refused(value: Value, reason: str, way: str) -> ConfigError:
    """The error of a key that gitship does not do."""
    return ConfigError(f"{value.place}: {value.path}: {reason}", way)
