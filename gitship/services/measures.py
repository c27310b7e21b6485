"""Parses what actions of an engine print: counts, metrics and versions. Pure."""

from __future__ import annotations

import re

from gitship.errors import ServiceError

_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


def counts(text: str) -> dict[str, int]:
    """Rows by table (or what the engine has of the kind). Raises ServiceError when a line is not `name<TAB>rows`."""
    return {name: int(number) for name, number in _lines(text, re.compile(r"[0-9]+"))}


def metrics(text: str) -> dict[str, float]:
    """Figures by name: `connections`, `size_bytes`, ... Raises ServiceError when a line is not `name<TAB>number`."""
    return {name: float(number) for name, number in _lines(text, _NUMBER)}


def version(text: str) -> str:
    """The first number with dots: `15.20` of `15.20 (Debian 15.20-0+deb12u1)`. Raises ServiceError."""
    found = re.search(r"[0-9]+(?:\.[0-9]+)+", text) or re.search(r"[0-9]+", text)
    if found is None:
        raise ServiceError(
            f"the service does not tell its version but {text.strip()[:80]!r}", "check the engine's file"
        )
    return found[0]


def _lines(text: str, number: re.Pattern[str]) -> list[tuple[str, str]]:
    pairs = []
    for line in text.splitlines():
        name, tab, value = line.rpartition("\t")
        if not tab or not name or not number.fullmatch(value.strip()):
            raise ServiceError(f"the service printed {line[:80]!r} in place of a name and a number", "check its file")
        pairs.append((name, value.strip()))
    return pairs
