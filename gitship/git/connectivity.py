"""Connectivity check of pushed objects, as ``git rev-list --objects --not --all``, on Dulwich."""

from __future__ import annotations

from collections.abc import Container, Iterable

from dulwich.object_store import BaseObjectStore
from dulwich.objects import RawObjectID, sha_to_hex

from gitship.git.fsck import tree_entries
from gitship.git.history import BadObject, History, read_commit, tag_link
from gitship.git.object_headers import BLOB, COMMIT, TAG, TREE, peek

_DIRECTORY, _SUBMODULE, _KIND = 0o040000, 0o160000, 0o170000


class ConnectivityWalk:
    """Walks from tips into the history that refs vouch for, checking that each object on the way exists.

    An object that merely exists proves nothing: what a failed deploy left behind may be half gone. So an old commit
    must be reachable from a ref, and an old tree must be part of such a commit, or it is walked like a new one.
    """

    def __init__(self, store: BaseObjectStore, new: Container[bytes], refs: Iterable[str]) -> None:
        self._store = store
        self._new = new
        self._sound: set[bytes] = set()
        self._vouched = History(store, refs)

    def connected(self, tip: bytes) -> bool:
        """True when nothing that ``tip`` (20 bytes) leads to is missing."""
        try:
            self._walk(tip)
        except (KeyError, BadObject):
            return False
        return True

    def _walk(self, tip: bytes) -> None:
        todo, seen = [tip], {tip}
        trees: list[tuple[bytes, int, tuple[bytes, ...]]] = []
        while todo:
            sha = todo.pop()
            kind = self._type(sha)
            if kind == TAG:
                links = [tag_link(self._read(sha, TAG))[0]]
            elif kind != COMMIT:
                trees.append((sha, kind, ()))
                continue
            elif sha not in self._new and self._vouched.has(sha):
                continue
            else:
                commit = read_commit(self._store, sha)
                links = list(commit.parents)
                bases = tuple(read_commit(self._store, old).tree for old in links if self._vouched.has(old))
                trees.append((commit.tree, TREE, bases))
            fresh = [link for link in links if link not in seen]
            seen.update(fresh)
            todo += fresh
        for root in trees:
            self._walk_tree(*root)

    def _walk_tree(self, root: bytes, kind: int, bases: tuple[bytes, ...]) -> None:
        """``bases`` are trees at the same path in commits that refs vouch for: what they hold needs no look."""
        todo = [(root, kind, bases)]
        while todo:
            sha, kind, bases = todo.pop()
            if sha in self._sound or sha in bases:
                continue
            if kind == BLOB:
                self._require_blob(sha)
            else:
                known = [{name: (mode, old) for name, mode, old in self._entries(base)} for base in bases]
                self._sound.update(old for entries in known for _, old in entries.values())
                for name, mode, entry in self._entries(sha):
                    if mode & _KIND == _SUBMODULE or entry in self._sound:
                        continue
                    if mode & _KIND == _DIRECTORY:
                        at_path = [entries[name] for entries in known if name in entries]
                        below = tuple(old for old_mode, old in at_path if old_mode & _KIND == _DIRECTORY)
                        todo.append((entry, TREE, below))
                    else:
                        todo.append((entry, BLOB, ()))
            self._sound.add(sha)

    def _entries(self, tree: bytes) -> list[tuple[bytes, int, bytes]]:
        return tree_entries(self._read(tree, TREE))

    def _require_blob(self, sha: bytes) -> None:
        if sha in self._new:
            return  # it came with this push, and its type was checked there
        if sha_to_hex(RawObjectID(sha)) not in self._store:
            raise KeyError(sha)

    def _type(self, sha: bytes) -> int:
        return peek(self._store, sha.hex()).type

    def _read(self, sha: bytes, expected: int) -> bytes:
        kind, content = self._store.get_raw(RawObjectID(sha))
        if kind != expected:
            raise BadObject(f"{sha.hex()} is of another type")
        return content
