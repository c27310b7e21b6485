"""What git's fsck holds of a tree, a commit or a tag, for the path without git, and which objects they refer to.

Source: git's fsck.c and path.c (verify_path, is_hfs_dotgit, is_ntfs_dotgit).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from gitship.git.objects import BLOB, COMMIT, TAG, TREE, TYPE_NUMBERS

_DIRECTORY, _LINK, _SUBMODULE, _KIND = 0o040000, 0o120000, 0o160000, 0o170000
_COMMIT = re.compile(rb"tree ([0-9a-f]{40})\n((?:parent [0-9a-f]{40}\n)*)author [^\n]*\ncommitter [^\n]*\n")
_TAG = re.compile(rb"object ([0-9a-f]{40})\ntype (commit|tree|blob|tag)\ntag [^\n]+\n")
# What HFS+ leaves out when it compares names: ".g<ZWNJ>it" opens ".git" on a Mac.
_HFS_IGNORED = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
_NTFS_DOTGIT = re.compile(rb"(?:\.git|git~1)[ .]*(?::.*)?", re.IGNORECASE | re.DOTALL)
_NTFS_GITMODULES = re.compile(rb"(?:\.gitmodules|gitmod~[1-4])[ .]*(?::.*)?", re.IGNORECASE | re.DOTALL)
_NULL = bytes(20)
_KNOWN_NAMES_MAX = 200_000


class BadObject(Exception):
    """The object is damaged or dangerous; the text says why."""


class Fsck:
    """Checks objects; remembers the names that it found harmless, as a history has the same ones over and over."""

    def __init__(self) -> None:
        self._names: set[bytes] = set()
        self._modes: dict[bytes, int] = {}

    def links(self, kind: int, data: bytes) -> Iterator[tuple[bytes, int]]:
        """The objects (20 bytes) that this one refers to, with the type each must have. Raises BadObject."""
        if kind == TREE:
            for _, mode, sha in self.entries(data):
                if mode & _KIND == _DIRECTORY:
                    yield sha, TREE
                elif mode & _KIND != _SUBMODULE:
                    yield sha, BLOB
        elif kind == COMMIT:
            tree, parents = commit_links(data)
            yield tree, TREE
            for parent in parents:
                yield parent, COMMIT
        elif kind == TAG:
            yield tag_link(data)

    def entries(self, data: bytes) -> list[tuple[bytes, int, bytes]]:
        """Name, mode and object (20 bytes) of each entry of a tree. Raises BadObject."""
        found: list[tuple[bytes, int, bytes]] = []
        previous, at, end = b"", 0, len(data)
        while at < end:
            blank = data.find(b" ", at)
            nul = data.find(b"\0", blank)
            if blank < 0 or nul < 0 or nul + 21 > end:
                raise BadObject("the tree is cut off")
            mode = self._mode(data[at:blank])
            name, sha, at = data[blank + 1 : nul], data[nul + 1 : nul + 21], nul + 21
            if name not in self._names:
                self._check_name(name)
            if mode & _KIND == _LINK and (_plain(name) == b".gitmodules" or _NTFS_GITMODULES.fullmatch(name)):
                raise BadObject(".gitmodules is a symbolic link")
            if sha == _NULL:
                raise BadObject("contains an entry that points to the null object")
            key = name + b"/" if mode & _KIND == _DIRECTORY else name
            if key <= previous:
                raise BadObject("the tree is not sorted")
            previous = key
            found.append((name, mode, sha))
        if len({name for name, _, _ in found}) != len(found):
            raise BadObject("the tree has two entries of the same name")
        return found

    def _mode(self, text: bytes) -> int:
        mode = self._modes.get(text)
        if mode is None:
            if not re.fullmatch(rb"[0-7]{1,7}", text):
                raise BadObject("the tree has a mode that is no number")
            mode = self._modes[text] = int(text, 8)
        return mode

    def _check_name(self, name: bytes) -> None:
        reason = name_refusal(name)
        if reason:
            raise BadObject(reason)
        if len(self._names) < _KNOWN_NAMES_MAX:
            self._names.add(name)


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


def commit_links(data: bytes) -> tuple[bytes, list[bytes]]:
    """Tree and parents (20 bytes each) of a commit. Raises BadObject."""
    match = _COMMIT.match(data)
    if not match or b"\0" in data:
        raise BadObject("not a well-formed commit")
    parents = [bytes.fromhex(line[7:].decode()) for line in match[2].splitlines()]
    return bytes.fromhex(match[1].decode()), parents


def tag_link(data: bytes) -> tuple[bytes, int]:
    """The object (20 bytes) that a tag names, and its type. Raises BadObject."""
    match = _TAG.match(data)
    if not match:
        raise BadObject("not a well-formed tag")
    return bytes.fromhex(match[1].decode()), TYPE_NUMBERS[match[2]]
