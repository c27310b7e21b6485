"""Parses image names as Docker does, and matches them against patterns.

A name without a host is Docker Hub's (``python`` is ``docker.io/library/python``). In a pattern ``*`` is anything, also
``/``; one without a tag takes every tag. A digest decides alone what is fetched, so a tag beside it counts for nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

HUB = "docker.io"
_HUBS = ("index.docker.io", HUB)
_PART = r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*"
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
_REFERENCE = re.compile(
    rf"(?P<name>(?:{_HOST}/)?{_PART}(?:/{_PART})*)(?::(?P<tag>\w[\w.-]{{0,127}}))?(?:@(?P<digest>\w[\w.+-]*:[0-9a-fA-F]{{32,}}))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class ImageName:
    """``name`` with its host; ``tag`` empty beside a digest."""

    name: str
    tag: str
    digest: str

    def __str__(self) -> str:
        return f"{self.name}@{self.digest}" if self.digest else f"{self.name}:{self.tag}"


def parse(text: str) -> ImageName | None:
    """None for what is no image's name."""
    match = _REFERENCE.fullmatch(text)
    if match is None:
        return None
    digest = match["digest"] or ""
    return ImageName(_full(match["name"]), "" if digest else match["tag"] or "latest", digest)


def matches(reference: ImageName, pattern: str) -> bool:
    """``python:3.*``, ``registry.example.com/team/*``, ``python@sha256:...``."""
    name, _, digest = pattern.partition("@")
    at = name.find(":", name.rfind("/") + 1)
    name, tag = (name, "*") if at < 0 else (name[:at], name[at + 1 :])
    if not fnmatchcase(reference.name, _full(name)):
        return False
    if digest:
        return reference.digest == digest
    return fnmatchcase(reference.tag, tag)  # beside a digest there is none, and only `*` takes that


def _full(name: str) -> str:
    """The name with its host; a pattern is read in the same way."""
    host, slash, rest = name.partition("/")
    if name == "*":
        return name
    if not slash or not (set(".:") & set(host) or host == "localhost" or host != host.lower()):
        host, rest = HUB, name
    if host in _HUBS:
        host = HUB
        rest = rest if "/" in rest or rest == "*" else f"library/{rest}"
    return f"{host}/{rest}"
