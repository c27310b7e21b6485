"""Parser and writer of env files: ``NAME=value`` lines as Docker, dotenv and shells read them."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping

from gitship.errors import GitshipError
from gitship.model import CONFIG_NAME

_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$", "`": "`"}
_READ_ONLY = {"!": "!"}  # what Go's dotenv, and so Dokku's config:export, writes; others would take the backslash along
_UNESCAPED = _ESCAPES | _READ_ONLY
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,=-]*")
_BLANK = re.compile(r"[ \t\r]*+(?:#[^\n]*+)?(?:\n|\Z)")
_START = re.compile(r"[ \t]*+(?:export[ \t]++)?([^\s=]*+)[ \t]*+=[ \t]*+")
_BARE = re.compile(r"[^\n]*")
_COMMENT = re.compile(r"(?:^|\s)#.*")


def parse(text: str) -> Iterator[tuple[int, str, str]]:
    """Line number (from 1), name and value of each variable.

    A value without quotes ends with its line or at `` #``. In single quotes everything is meant as it is; in double
    quotes ``\\n \\r \\t \\" \\\\ \\$ \\` \\!`` are escapes. Both may go over several lines. Nothing is substituted.
    Raises GitshipError naming the line.
    """
    text = text.removeprefix("\ufeff")
    at, counted, line = 0, 0, 1
    while at < len(text):
        blank = _BLANK.match(text, at)
        if blank:
            at = blank.end()
            continue
        line, counted = line + text.count("\n", counted, at), at
        start = _START.match(text, at)
        if start is None:
            raise _wrong(line, "is not NAME=VALUE", "each line is NAME=VALUE, a comment, or empty")
        if not CONFIG_NAME.fullmatch(start[1]):
            raise _wrong(
                line,
                f"'{start[1][:80]}' is not a variable name",
                "use letters, digits and _, not beginning with a digit",
            )
        value, at = _value(text, start.end(), line)
        yield line, start[1], value


def dotenv(values: Mapping[str, str]) -> str:
    """Lines that ``parse`` reads back exactly; one per variable."""
    return "".join(f"{name}={value if _PLAIN.fullmatch(value) else _quoted(value)}\n" for name, value in values.items())


def shell(values: Mapping[str, str]) -> str:
    """Lines that a POSIX shell reads with ``eval`` or ``.``, and ``parse`` as well."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in values.items())


def as_json(values: Mapping[str, str]) -> str:
    return json.dumps(dict(values), indent=2, ensure_ascii=False) + "\n"


def _value(text: str, at: int, line: int) -> tuple[str, int]:
    """The value that begins there, and where the next line does."""
    if text[at : at + 1] not in ('"', "'"):
        bare = _BARE.match(text, at)
        assert bare is not None
        return _COMMENT.sub("", bare[0]).strip(), bare.end() + 1
    parts = []
    while text[at : at + 1] in ('"', "'") and at < len(text):  # 'it'"'"'s', as shells quote, is one value
        part, at = (_single if text[at] == "'" else _double)(text, at + 1, line)
        parts.append(part)
    rest = _BLANK.match(text, at)
    if rest is None:
        raise _wrong(line, "has text after the closing quote", 'quote the whole value; write \\" for a quote inside')
    return "".join(parts), rest.end()


def _single(text: str, at: int, line: int) -> tuple[str, int]:
    end = text.find("'", at)
    if end < 0:
        raise _unclosed(line)
    return text[at:end], end + 1


def _double(text: str, at: int, line: int) -> tuple[str, int]:
    out: list[str] = []
    while at < len(text):
        character = text[at]
        if character == '"':
            return "".join(out), at + 1
        if character == "\\" and at + 1 < len(text) and text[at + 1] in _UNESCAPED:
            out.append(_UNESCAPED[text[at + 1]])
            at += 2
            continue
        out.append(character)
        at += 1
    raise _unclosed(line)


def _quoted(value: str) -> str:
    back = {character: f"\\{letter}" for letter, character in _ESCAPES.items()}
    return '"' + "".join(back.get(c, c) if c != "\t" else c for c in value) + '"'


def _wrong(line: int, what: str, hint: str) -> GitshipError:
    return GitshipError(f"line {line} {what}" if not what.startswith("'") else f"line {line}: {what}", hint)


def _unclosed(line: int) -> GitshipError:
    return _wrong(line, "opens a quote that is never closed", "close it, or use the other kind of quote around it")
