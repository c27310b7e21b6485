"""Sends a commit to the builder: only the files that it lacks from earlier builds.

Measured on Docker 20.10, a build with one changed line, against the whole as a tar: 3 files 303 and 421 ms, 100 files
of 4 MB 207 and 465, 500 of 20 MB 233 and 1160, 3,000 of 300 MB 480 and 17,000. So the tar is only for what cannot go
otherwise.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from gitship.engine.source_tree import Contents, SourceFile, SourceTree, by_name
from gitship.git import file_times, snapshot
from gitship.git.build_context import BuildContext
from gitship.git.snapshot import TreeEntry


def sent(repository: Path, context: BuildContext) -> Iterable[bytes]:
    """The context as a SourceTree; as a tar when a name is no UTF-8, or the Dockerfile a link. Raises GitError."""
    entries = sorted(zip(context.entries, context.sizes, strict=True), key=lambda pair: by_name(pair[0].path))
    targets = _targets(context, [entry for entry, _ in entries if entry.kind == snapshot.SYMLINK])
    if not all(map(_is_text, (entry.path for entry, _ in entries))) or not all(map(_is_text, targets.values())):
        return context.tar()
    if any(entry.path == context.dockerfile and entry.kind != snapshot.FILE for entry, _ in entries):
        return context.tar()
    kept = file_times.of(repository, [entry for entry, _ in entries], context.when)
    files = [
        SourceFile(entry.path, _mode(entry), size, at, targets.get(entry.path, ""))
        for (entry, size), at in zip(entries, kept.at_ns, strict=True)
    ]

    def contents(indices: Sequence[int]) -> Contents:
        return context.reader.contents([entries[index][0].id for index in indices])

    return SourceTree(kept.key, context.dockerfile, files, contents, context.tar)


def _targets(context: BuildContext, links: Sequence[TreeEntry]) -> dict[str, str]:
    found = {}
    for link, (_, chunks) in zip(links, context.reader.contents([link.id for link in links]), strict=True):
        found[link.path] = b"".join(chunks).decode("utf-8", "surrogateescape")
    return found


def _is_text(text: str) -> bool:
    return text.isascii() or text.encode("utf-8", "surrogateescape") == text.encode("utf-8", "replace")


def _mode(entry: TreeEntry) -> int:
    if entry.kind == snapshot.SYMLINK:
        return stat.S_IFLNK | 0o777
    if entry.kind == snapshot.FILE:
        return stat.S_IFREG | (0o755 if entry.mode & 0o100 else 0o644)
    return stat.S_IFDIR | 0o755  # a submodule, too, is an empty directory
