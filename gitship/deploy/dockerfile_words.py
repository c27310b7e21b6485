"""Splits lines of a Dockerfile into words: quotes, escapes and variables. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

MOST_CHARS = 4096  # of a value: `ARG a=$a$a` again and again would fill the memory
MOST_NESTED = 20  # substitutions within each other
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Unreadable(Exception):
    """The Dockerfile names an image in a way that cannot be followed; ``line`` counts from 1."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"line {line} {why}")
        self.line = line
        self.why = why


def words(text: str, escape: str, line: int) -> list[str]:
    """Split at blanks that no quote or escape covers; quotes and escapes stay in the words. Raises Unreadable."""
    found: list[str] = []
    word, quote, position = "", "", 0
    while position < len(text):
        character = text[position]
        if character == escape and quote != "'" and position + 1 < len(text):
            word += text[position : position + 2]
            position += 2
            continue
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character.isspace():
            found += [word] if word else []
            word = ""
            position += 1
            continue
        word += character
        position += 1
    if quote:
        raise Unreadable(line, f"has an open quote {quote}")
    return found + ([word] if word else [])


def expand(word: str, values: Mapping[str, str | None] | None, escape: str, line: int) -> str:
    """The word without its quotes and with its variables' values; one without a value is None. Raises Unreadable.

    Where builders substitute nothing, ``values`` is None.
    """
    out, position, quote = "", 0, ""
    while position < len(word):
        character = word[position]
        if character == "'" and quote != '"':
            end = word.find("'", position + 1)
            if end < 0:
                raise Unreadable(line, "has an open quote '")
            out, position = out + word[position + 1 : end], end + 1
        elif character == '"':
            quote, position = "" if quote else '"', position + 1
        elif character == escape and position + 1 < len(word):
            keeps = quote and word[position + 1] not in f'"${escape}'
            out, position = out + (escape if keeps else "") + word[position + 1], position + 2
        elif character == "$" and values is not None:
            value, position = _variable(word, position, values, escape, line)
            out += value
            if len(out) > MOST_CHARS:
                raise Unreadable(line, f"has a value of more than {MOST_CHARS} characters")
        else:
            out, position = out + character, position + 1
    if quote:
        raise Unreadable(line, 'has an open quote "')
    return out


def _variable(word: str, position: int, values: Mapping[str, str | None], escape: str, line: int) -> tuple[str, int]:
    """The value of `$NAME`, `${NAME}` or `${NAME:-word}` and the like, and where the text goes on."""
    braces = word[position + 1 : position + 2] == "{"
    match = _NAME.match(word, position + 2 if braces else position + 1)
    if match is None:
        raise Unreadable(line, "has a $ without a name")
    if not braces:
        return _value(match[0], values, line), match.end()
    end = _closing(word, position + 1, line)
    operator = re.match(r":?[-+]", word[match.end() : end])
    if match.end() == end:
        return _value(match[0], values, line), end + 1
    if operator is None:
        raise Unreadable(line, f"has a substitution of {match[0]} that is not known before the build")
    value = values.get(match[0])
    there = value is not None and (value != "" or not operator[0].startswith(":"))
    other = word[match.end() + operator.end() : end]
    if operator[0].endswith("+"):
        return expand(other, values, escape, line) if there else "", end + 1
    return value if there and value is not None else expand(other, values, escape, line), end + 1


def _value(name: str, values: Mapping[str, str | None], line: int) -> str:
    value = values.get(name)
    if value is None:
        raise Unreadable(line, f"uses the argument {name}, which has no value before the build")
    return value


def _closing(word: str, start: int, line: int) -> int:
    """Where the brace that opens at ``start`` closes."""
    depth = 0
    for position in range(start, len(word)):
        depth += {"{": 1, "}": -1}.get(word[position], 0)
        if depth == 0:
            return position
        if depth > MOST_NESTED:
            raise Unreadable(line, f"has more than {MOST_NESTED} substitutions within each other")
    raise Unreadable(line, "has a ${ that is not closed")
