"""Finds the files of a commit that .dockerignore keeps from its build, among those that a text names."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gitship.git import snapshot
from gitship.git.build_context import BuildContext
from gitship.git.snapshot import Snapshot

MOST_WORDS = 300
MOST_WORD_CHARS = 200
_WORD = re.compile(r"[^\s'\"`=:;,<>|&(){}\[\]$*]+")


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A path within the context, and the line of the .dockerignore that leaves it out, as people are told."""

    path: str
    by: str


def named(repository_path: Path, commit: str, context: BuildContext, texts: Iterable[str]) -> list[LeftOut]:
    """What the texts name, in their order; of `/app/x.txt` also `x.txt`. Raises GitError when it cannot be read."""
    lines = {path: line for path in _paths(texts) if (line := context.ignore.line_for(path))}
    if not lines:
        return []
    with Snapshot(repository_path, commit) as tree:
        top = tree.directory(context.directory)
        entries = ((path, tree.find(top, path)) for path in lines)
        return [
            LeftOut(path, lines[path])
            for path, entry in entries
            if entry and not (entry.kind == snapshot.DIRECTORY and context.ignore.may_keep_below(path))
        ]


def _paths(texts: Iterable[str]) -> Iterable[str]:
    words = [word for text in texts for word in _WORD.findall(text) if len(word) <= MOST_WORD_CHARS]
    found = dict[str, None]()
    for word in words[:MOST_WORDS]:
        parts = [part for part in posixpath.normpath(word).split("/") if part not in ("", ".")]
        for start in range(len(parts) if word.startswith("/") else min(len(parts), 1)):
            found["/".join(parts[start:])] = None
    return found
