"""Splits a command of a Procfile into the arguments that a container is started with."""

from __future__ import annotations

import re
import shlex

from gitship.schema import Value

Command = tuple[str, ...]

SHELL = "/bin/sh"

_SYNTAX = re.compile(r"[$|&;<>*?`()~\[\n]|(?:^|\s)#")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_BUILT_IN = re.compile(
    r"[.:!{]|break|case|cd|command|continue|eval|exec|exit|export|for|if|read|readonly|return|set|shift|source|trap"
    r"|type|ulimit|umask|unset|until|wait|while"
)
# A stretch that the shell would take as it stands: after a backslash, in '...', in "..." without $ and `.
_PLAIN = re.compile(r"""\\.|'[^']*'|"(?:\\.|[^"\\$`])*\"""", re.DOTALL)
_QUOTED = re.compile(r"""\\.|'[^']*'|"(?:\\.|[^"\\])*\"""", re.DOTALL)


def parse_command(text: str) -> Command:
    """The words of ``text`` by the shell's quoting rules; with shell syntax in it: `/bin/sh -c text`.

    An image without a shell can so have commands without shell syntax. Raises ValueError with the reason.
    """
    text = text.strip()
    if not text:
        raise ValueError("is empty")
    if "\0" in text:
        raise ValueError("holds a NUL character")
    bare = _QUOTED.sub(lambda quoted: "%" if _PLAIN.fullmatch(quoted[0]) else quoted[0], text)
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise ValueError(f"cannot be read: {str(error).lower()}") from None
    if _SYNTAX.search(bare) or _ASSIGNMENT.match(bare) or (words and _BUILT_IN.fullmatch(words[0])):
        return (SHELL, "-c", text)
    if not words or not words[0]:
        raise ValueError("has no program")
    return words


def read_command(value: Value) -> Command:
    """A text by the Procfile's rules, or a list of words. Raises ConfigError."""
    if not isinstance(value.raw, list):
        return value.parsed(parse_command)
    words = tuple(word.text() for word in value.items())
    if not words or not words[0]:
        raise value.error("must name a program")
    return words
