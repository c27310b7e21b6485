"""Parses commits, and walks through their history.

Not Dulwich's Commit: it has no time for a commit whose date git's own fsck only warns of, and old histories have such.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dulwich.object_store import BaseObjectStore
from dulwich.objects import RawObjectID

from gitship.git.object_headers import COMMIT, TAG, TYPE_NUMBERS, peek

_COMMIT = re.compile(
    rb"tree ([0-9a-f]{40})\n((?:parent [0-9a-f]{40}\n)*)author ([^\n]*)\ncommitter ([^\n]*)\n(?:encoding ([^\n]*)\n)?"
)
_TAG = re.compile(rb"object ([0-9a-f]{40})\ntype (commit|tree|blob|tag)\ntag [^\n]+\n")
_PERSON = re.compile(rb"(.*?>?) ?(-?\d{1,18})? ?([+-]\d+)?", re.DOTALL)


class BadObject(Exception):
    """The object is damaged or dangerous; the text says why."""


@dataclass(frozen=True, slots=True)
class RawCommit:
    """``tree`` and ``parents`` are 20 bytes each, ``author`` is ``Name <mail>``, ``at`` epoch seconds or 0."""

    tree: bytes
    parents: tuple[bytes, ...]
    author: str
    at: int
    message: str


def parse_commit(data: bytes) -> RawCommit:
    """Raises BadObject when it is not a well-formed commit; odd names and dates are no reason for that."""
    match = _COMMIT.match(data)
    if not match or b"\0" in data:
        raise BadObject("not a well-formed commit")
    parents = tuple(bytes.fromhex(line[7:].decode()) for line in match[2].splitlines())
    author, committed = _PERSON.fullmatch(match[3]), _PERSON.fullmatch(match[4])
    encoding = (match[5] or b"utf-8").decode("ascii", "replace")
    return RawCommit(
        bytes.fromhex(match[1].decode()),
        parents,
        _text(author[1] if author else match[3], encoding),
        int(committed[2] or 0) if committed else 0,
        _text(data.partition(b"\n\n")[2], encoding),
    )


def _text(raw: bytes, encoding: str) -> str:
    try:
        return raw.decode(encoding, "replace")
    except LookupError:
        return raw.decode("utf-8", "replace")


def tag_link(data: bytes) -> tuple[bytes, int]:
    """The object (20 bytes) that a tag names, and its type. Raises BadObject."""
    match = _TAG.match(data)
    if not match:
        raise BadObject("not a well-formed tag")
    return bytes.fromhex(match[1].decode()), TYPE_NUMBERS[match[2]]


def read_commit(store: BaseObjectStore, sha: bytes) -> RawCommit:
    """Raises KeyError when there is no such object, BadObject when it is no commit."""
    kind, data = store.get_raw(RawObjectID(sha))
    if kind != COMMIT:
        raise BadObject(f"{sha.hex()} is no commit")
    return parse_commit(data)


class History:
    """The commits that some objects (hex) lead to, walked newest first and only as far as somebody asks."""

    def __init__(self, store: BaseObjectStore, tips: Iterable[str]) -> None:
        self._store = store
        self._found: dict[bytes, RawCommit] = {}
        self._todo: list[tuple[int, bytes]] = []
        for sha in tips:
            self._push(bytes.fromhex(sha))

    def _push(self, sha: bytes) -> None:
        try:
            while (kind := peek(self._store, sha.hex()).type) == TAG:
                sha = tag_link(self._store.get_raw(RawObjectID(sha))[1])[0]
            if kind != COMMIT or sha in self._found:
                return  # a tag of a file: it may be large, and leads to no commit
            commit = read_commit(self._store, sha)
        except (KeyError, BadObject):
            return  # what is broken already leads nowhere
        self._found[sha] = commit
        heapq.heappush(self._todo, (-commit.at, sha))

    def has(self, sha: bytes) -> bool:
        """True when that commit (20 bytes) is one of them."""
        while sha not in self._found and self._todo:
            _, commit = heapq.heappop(self._todo)
            for parent in self._found[commit].parents:
                if parent not in self._found:
                    self._push(parent)
        return sha in self._found

    def without(self, other: History | None) -> Iterator[tuple[bytes, RawCommit]]:
        """Newest first, and never into what ``other`` has; for a history that nobody has walked yet."""
        while self._todo:
            _, sha = heapq.heappop(self._todo)
            if other is not None and other.has(sha):
                continue
            commit = self._found[sha]
            yield sha, commit
            for parent in commit.parents:
                self._push(parent)
