"""Reads `.env` and the files of `env_file`, by the rules of Compose."""

from __future__ import annotations

import re

from gitship.compose.interpolation import Interpolation
from gitship.errors import ConfigError
from gitship.schema import decode

MOST_BYTES = 256 << 10
MOST_VARIABLES = 2_000
_NAME = re.compile(r"[ \t]*(?:export[ \t]+)?([^\s=:#'\"$]+)[ \t]*")
_BLANK = re.compile(r"\s*(?:#[^\n]*)?(?:\n|$)")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "'": "'", "$": "$$", "a": "\a", "b": "\b",
            "f": "\f", "v": "\v"}  # fmt: skip


def read_env(file: str, content: bytes, scope: Interpolation) -> dict[str, str | None]:
    """Its variables, None of those that are named only. Earlier ones can be used by later ones; ``scope`` comes first.

    Raises ConfigError naming file and line.
    """
    text = decode(file, content, MOST_BYTES).replace("\r\n", "\n")
    found: dict[str, str | None] = {}
    known = dict(scope.variables)
    inner = Interpolation(known, scope.unset)
    at, counted, line = 0, 0, 1
    while at < len(text):
        blank = _BLANK.match(text, at)
        if blank and blank.end() > at:
            at = blank.end()
            continue
        line, counted = line + text.count("\n", counted, at), at
        place = f"{file} line {line}"
        name = _NAME.match(text, at)
        if name is None or "\0" in name[1]:
            raise ConfigError(f"{place} does not begin with NAME=", "write NAME=VALUE, and comments with a #")
        at, value = name.end(), None
        if text.startswith(("=", ":"), at):
            value, at = _value(text, at + 1, place, inner)
        elif text[at : at + 1] in ("", "\n", "#"):
            at = _line_end(text, at)
        else:
            raise ConfigError(f"{place} has a space in its name", "write NAME=VALUE")
        found[name[1]] = value
        if len(found) > MOST_VARIABLES:
            raise ConfigError(f"{file} has more than {MOST_VARIABLES} variables", "keep only what the app reads")
        if value is not None and name[1] not in scope.variables:
            known[name[1]] = value
    return found


def read_raw(file: str, content: bytes) -> dict[str, str | None]:
    """`format: raw`: NAME=VALUE as they stand. Raises ConfigError."""
    found: dict[str, str | None] = {}
    for number, line in enumerate(decode(file, content, MOST_BYTES).split("\n"), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not name.strip() or re.search(r"\s", name.strip()):
            raise ConfigError(f"{file} line {number} does not begin with NAME=", "write NAME=VALUE")
        found[name.strip()] = value.removesuffix("\r") if equals else None
    return found


def _value(text: str, at: int, place: str, scope: Interpolation) -> tuple[str, int]:
    while text[at : at + 1] in (" ", "\t"):
        at += 1
    quote = text[at : at + 1]
    if quote in ("'", '"'):
        return _quoted(text, at, place, scope)
    end = _line_end(text, at)
    line = text[at:end].rstrip("\n")
    comment = re.search(r"(?:^|\s)#", line)
    return scope.text((line[: comment.start()] if comment else line).strip(), place), end


def _quoted(text: str, at: int, place: str, scope: Interpolation) -> tuple[str, int]:
    quote, done = text[at], []
    at += 1
    while at < len(text) and text[at] != quote:
        if text[at] == "\\" and at + 1 < len(text):
            after = text[at + 1]
            if quote == '"' and after in _ESCAPES:
                done.append(_ESCAPES[after])
            else:
                done.append(after if after == quote else "\\" + after)
            at += 2
        else:
            done.append(text[at])
            at += 1
    if at >= len(text):
        raise ConfigError(f"{place} has a {quote} that is not closed", f"end the value with {quote}")
    value = "".join(done)
    end = _line_end(text, at + 1)
    rest = text[at + 1 : end].strip()
    if rest and not rest.startswith("#"):
        raise ConfigError(f"{place} has '{rest[:20]}' after its closing quote", "put all of the value in quotes")
    return (value if quote == "'" else scope.text(value, place)), end


def _line_end(text: str, at: int) -> int:
    """After the line's end."""
    end = text.find("\n", at)
    return len(text) if end < 0 else end + 1
