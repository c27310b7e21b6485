"""Tree of a commit, with names that are safe to unpack."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from dulwich.index import validate_path_element_default, validate_path_element_hfs, validate_path_element_ntfs
from dulwich.objects import Commit, ObjectID, Tag, Tree

from gitship.errors import GitError
from gitship.git.object_headers import open_store

MAX_ENTRIES = 1_000_000  # 10 trees of 10 entries, nested 10 deep, are 10^10 files in a pack of 1 kB
MAX_NAME_BYTES = 255  # Linux: NAME_MAX and PATH_MAX; a builder could not unpack a longer one
MAX_PATH_BYTES = 4095
MAX_TAGS = 10

GITLINK = 0o160000
DIRECTORY = stat.S_IFDIR
SYMLINK = stat.S_IFLNK
FILE = stat.S_IFREG

_LONE = re.compile("[\ud800-\udfff]")
_PLAIN = re.compile(rb"[A-Za-z0-9_-](?:[A-Za-z0-9_.-]*[A-Za-z0-9_-])?")  # most names, and none is dangerous


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """``path`` is slash-delimited (not UTF-8: surrogate escapes), ``mode`` git's, ``id`` the object's."""

    path: str
    mode: int
    id: bytes

    @property
    def kind(self) -> int:
        """FILE, SYMLINK, DIRECTORY or GITLINK."""
        return stat.S_IFMT(self.mode)


class Snapshot:
    """Use as a context manager. Every method raises GitError when objects are missing, damaged or dangerous."""

    def __init__(self, repository_path: Path, commit: str) -> None:
        self._opened = ExitStack()
        with self._opened as opened, reading(f"commit {commit[:12]}"):
            self._store = opened.enter_context(open_store(repository_path / "objects"))
            self.commit = self._peel(commit)
            self._opened = opened.pop_all()

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._opened.close()

    def _peel(self, name: str) -> Commit:
        found = self._store[ObjectID(name.encode("ascii"))]
        for _ in range(MAX_TAGS):
            if not isinstance(found, Tag):
                break
            found = self._store[found.object[1]]
        if not isinstance(found, Commit):
            raise GitError(f"{name[:12]} is not a commit", "push a branch")
        return found

    @property
    def time(self) -> int:
        """When it was committed, epoch seconds."""
        return int(self.commit.commit_time)

    @property
    def subject(self) -> str:
        """The first line of the commit's message."""
        lines = self.commit.message.decode("utf-8", "replace").strip().splitlines()
        return lines[0] if lines else ""

    def directory(self, path: str) -> bytes:
        """The id of the tree at ``path`` ("" is the top). Raises GitError when there is none."""
        top = bytes(self.commit.tree)
        if not path:
            return top
        found = self.find(top, path)
        if found is None or found.kind != DIRECTORY:
            raise GitError(f"the commit has no directory '{printable(path)}'", f"at the top it has: {self._listing()}")
        return found.id

    def find(self, tree: bytes, path: str) -> TreeEntry | None:
        """What is at ``path`` (slash-delimited) below ``tree``."""
        found: TreeEntry | None = None
        for name in path.split("/"):
            if found is not None and found.kind != DIRECTORY:
                return None
            found = next((e for e in self._children(found.id if found else tree, "") if e.path == name), None)
            if found is None:
                return None
        return found

    def walk(self, tree: bytes, enters: Callable[[TreeEntry], bool]) -> Iterator[TreeEntry]:
        """All entries below ``tree``, a directory before what it holds; ``enters`` says which directories are read."""
        stack = [iter(self._children(tree, ""))]
        count = 0
        while stack:
            entry = next(stack[-1], None)
            if entry is None:
                stack.pop()
                continue
            count += 1
            if count > MAX_ENTRIES:
                raise GitError(f"the commit has more than {MAX_ENTRIES} files", "leave out generated files")
            yield entry
            if entry.kind == DIRECTORY and enters(entry):
                stack.append(iter(self._children(entry.id, f"{entry.path}/")))

    def _children(self, tree_id: bytes, prefix: str) -> list[TreeEntry]:
        with reading(f"directory '{prefix.rstrip('/') or '.'}' of the commit"):
            tree = self._store[ObjectID(tree_id)]
            if not isinstance(tree, Tree):
                raise GitError(f"'{prefix.rstrip('/')}' is not a directory", "run `git fsck` and push again")
            items = tree.items()
        entries = [TreeEntry(prefix + safe(item.path, prefix), item.mode, bytes(item.sha)) for item in items]
        for entry in entries:
            if entry.kind not in (FILE, SYMLINK, DIRECTORY, GITLINK):
                raise GitError(f"'{printable(entry.path)}' is neither file, link nor directory", "run `git fsck`")
        return entries

    def _listing(self) -> str:
        names = [e.path + ("/" if e.kind == DIRECTORY else "") for e in self._children(bytes(self.commit.tree), "")]
        return ", ".join(printable(n) for n in names[:12]) + (", ..." if len(names) > 12 else "")


def printable(name: str) -> str:
    """A path as it may be shown: control characters and bytes that are not UTF-8 are escaped."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def safe(name: bytes, prefix: str) -> str:
    """``name`` as text. Raises GitError for what git itself refuses to check out, and what Linux cannot store."""
    text = name.decode("utf-8", "surrogateescape")
    if len(prefix) + len(name) <= MAX_NAME_BYTES and prefix.isascii() and _PLAIN.fullmatch(name):
        return text
    valid = validate_path_element_default(name) and validate_path_element_ntfs(name)
    if valid and not name.isascii() and not _LONE.search(text):  # Dulwich's rule refuses all that is not UTF-8
        valid = validate_path_element_hfs(name)
    if not valid or b"/" in name:
        raise GitError(
            f"the commit has a file with the dangerous name '{printable(prefix + text)}'",
            "rename it; '.git' in any spelling, '.', '..' and names with a slash are refused",
        )
    if len(name) > MAX_NAME_BYTES or len(prefix.encode("utf-8", "surrogateescape")) + len(name) > MAX_PATH_BYTES:
        raise GitError(
            f"the commit has a file whose name is too long: '{printable(prefix + text)[:120]}...'",
            f"a name may have {MAX_NAME_BYTES} bytes, a path {MAX_PATH_BYTES}",
        )
    return text


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turns whatever Dulwich raises for missing and damaged objects into GitError."""
    try:
        yield
    except GitError:
        raise
    except Exception as error:  # KeyError, OSError, zlib.error, AssertionError, struct.error, its own: no common base
        raise GitError(
            f"cannot read {what}: {type(error).__name__}", "is the repository damaged? run `git fsck` and push again"
        ) from error
