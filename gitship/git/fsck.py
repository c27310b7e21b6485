"""git fsck checks of trees, commits and tags, for machines without git.

Source: git's fsck.c and path.c (verify_path, is_hfs_dotgit, is_ntfs_dotgit).
"""

from __future__ import annotations

import operator
import re

from gitship.git.history import BadObject, parse_commit, tag_link
from gitship.git.object_headers import BLOB, COMMIT, TAG, TREE

_DIRECTORY, _LINK, _SUBMODULE, _KIND = 0o040000, 0o120000, 0o160000, 0o170000
# What HFS+ leaves out when it compares names: ".g<ZWNJ>it" opens ".git" on a Mac.
_HFS_IGNORED = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
_NTFS_DOTGIT = re.compile(rb"(?:\.git|git~1)[ .]*(?::.*)?", re.IGNORECASE | re.DOTALL)
_NTFS_GITMODULES = re.compile(rb"(?:\.gitmodules|gitmod~[1-4])[ .]*(?::.*)?", re.IGNORECASE | re.DOTALL)
_NULL = bytes(20)
_ROW = re.compile(rb"[0-7]{1,7} [^\0]*\0.{20}", re.DOTALL)
_KNOWN_ROWS_MAX = 250_000  # some 60 MiB


class Fsck:
    """Checks objects. Trees are looked at entry by entry, but at each entry once: a history repeats the same ones.

    That is what makes it bearable in Python: git.git's 60,000 versions of a 700-entry tree have 200,000 entries in all.
    """

    def __init__(self) -> None:
        self._keys: dict[bytes, bytes] = {}  # of the entries found harmless: how each one sorts
        self._directories: set[bytes] = set()

    def links(self, kind: int, data: bytes) -> list[tuple[bytes, int]]:
        """The objects (20 bytes) that this one refers to, with the type each must have. Raises BadObject.

        What an earlier object referred to in the same words may be left out.
        """
        if kind == TREE:
            return self._tree_links(data)
        if kind == COMMIT:
            commit = parse_commit(data)
            return [(commit.tree, TREE), *((parent, COMMIT) for parent in commit.parents)]
        if kind == TAG:
            return [tag_link(data)]
        return []

    def _tree_links(self, data: bytes) -> list[tuple[bytes, int]]:
        rows = _ROW.findall(data)
        if sum(map(len, rows)) != len(data):
            raise BadObject("the tree is cut off or has a mode that is no number")
        keys = self._keys
        if len(keys) > _KNOWN_ROWS_MAX:
            keys.clear()
        links: list[tuple[bytes, int]] = []
        for row in rows:
            if row not in keys:
                self._learn(row, links)
        order = [keys[row] for row in rows]
        if not all(map(operator.lt, order, order[1:])):
            raise BadObject("the tree is not sorted")
        below = self._directories.intersection(order)
        if below and not below.isdisjoint(name + b"/" for name in order):
            raise BadObject("the tree has two entries of the same name")
        return links

    def _learn(self, row: bytes, links: list[tuple[bytes, int]]) -> None:
        mode_text, _, rest = row.partition(b" ")
        mode, name, sha = int(mode_text, 8), rest[:-21], rest[-20:]
        reason = name_refusal(name)
        kind = mode & _KIND
        if kind in (_LINK, _DIRECTORY) and (_plain(name) == b".gitmodules" or _NTFS_GITMODULES.fullmatch(name)):
            reason = f".gitmodules is a {'symbolic link' if kind == _LINK else 'directory'}"
        if sha == _NULL:
            reason = "contains an entry that points to the null object"
        if reason:
            raise BadObject(reason)
        is_directory = mode & _KIND == _DIRECTORY
        key = self._keys[row] = name + b"/" if is_directory else name
        if is_directory:
            self._directories.add(key)
        if mode & _KIND != _SUBMODULE:
            links.append((sha, TREE if is_directory else BLOB))


def tree_entries(data: bytes) -> list[tuple[bytes, int, bytes]]:
    """Name, mode and object (20 bytes) of each entry of a tree that has been checked before."""
    rows = (row.partition(b" ") for row in _ROW.findall(data))
    return [(rest[:-21], int(mode, 8), rest[-20:]) for mode, _, rest in rows]


def name_refusal(name: bytes) -> str | None:
    """Why a tree entry must not be called that, or None: it would escape the directory or replace its ``.git``."""
    if not name:
        return "contains an entry without a name"
    if b"/" in name:
        return "contains a full path as a name"
    if name in (b".", b".."):
        return f"contains '{name.decode()}'"
    if _plain(name) == b".git" or any(map(_NTFS_DOTGIT.fullmatch, name.split(b"\\"))):
        return "contains '.git'"
    return None


def _plain(name: bytes) -> bytes:
    """The name as HFS+ compares it."""
    if name.isascii():
        return name.lower()
    return _HFS_IGNORED.sub("", name.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape").lower()
