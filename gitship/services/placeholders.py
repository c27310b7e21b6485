"""Placeholders of an engine file, as `{database}`: which there are, and the text with their values. Pure.

Values have only letters, digits, `_` and `-` (some also `.`), so that they need no quotes in a shell, SQL, URL or JSON.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from gitship.errors import ServiceError, nearest

PLACEHOLDER = re.compile(r"\{([a-z_][a-z0-9_]*)\}")
SECRETS = frozenset({"root_password", "password"})
MEMORY = "memory_mb"  # the memory limit in whole MB
SNAPSHOT = "snapshot"  # of the data, by name; what has it is left out while there is none
_PERCENT = re.compile(rf"{MEMORY}_(100|[1-9][0-9]?)")
_VALUE = re.compile(r"[A-Za-z0-9_-]+")
_WITH_DOTS = frozenset({"host", "segment", "time"})
_DOTTED = re.compile(r"[A-Za-z0-9_.-]+")


def named(text: str) -> list[str]:
    """The placeholders in ``text``; any percent of the memory is MEMORY."""
    return [MEMORY if _PERCENT.fullmatch(name) else name for name in PLACEHOLDER.findall(text)]


def check(text: str, allowed: Collection[str]) -> str:
    """``text`` itself. Raises ValueError when it has another placeholder than those."""
    for name in named(text):
        if name not in allowed:
            if name in SECRETS:
                raise ValueError(f"must not hold {{{name}}}: others can see it; pass it in `env` or `stdin`")
            near = nearest(name, allowed)
            like = f"did you mean {{{near}}}?" if near else f"known: {', '.join(f'{{{n}}}' for n in sorted(allowed))}"
            raise ValueError(f"has the placeholder {{{name}}}, which has no value there; {like}")
    return text


def wanted(texts: Iterable[str], values: Mapping[str, str]) -> Iterator[str]:
    """Words of a command, or lines of its input, without those of a snapshot that there is not."""
    return (text for text in texts if SNAPSHOT in values or SNAPSHOT not in named(text))


def filled(text: str, values: Mapping[str, str]) -> str:
    """``text`` with the values. Raises ServiceError when one is missing, or could need quotes somewhere."""
    return PLACEHOLDER.sub(lambda match: _value(match[1], values), text)


def _value(name: str, values: Mapping[str, str]) -> str:
    percent = _PERCENT.fullmatch(name)
    value = values.get(MEMORY if percent else name)
    if value is None:
        raise ServiceError(f"the engine's file asks for {{{name}}}, which has no value", "see `help service-engines`")
    if not (_DOTTED if name in _WITH_DOTS else _VALUE).fullmatch(value):
        raise ServiceError(f"the value of {{{name}}} has other characters than A-Z, a-z, 0-9, _ and -")
    return str(int(value) * int(percent[1]) // 100) if percent else value


def blanked(text: str, values: Mapping[str, str]) -> str:
    """``text`` without the secrets among the values."""
    for name in SECRETS:
        if secret := values.get(name):
            text = text.replace(secret, "***")
    return text
