"""Reads refs from disk, and moves them by compare-and-set under per-ref locks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from dulwich.errors import PackedRefsException, RefFormatError
from dulwich.file import FileLocked
from dulwich.objects import ZERO_SHA, ObjectID
from dulwich.refs import DiskRefsContainer, Ref, locked_ref

from gitship.errors import GitError

MOVED_MEANWHILE = "it has moved, fetch first"
LOCKED = "locked by another push, try again"
TRIES = 20
Moved = TypeVar("Moved")


@dataclass(frozen=True, slots=True)
class RefUpdate:
    """One wish of a push: ``ref`` from ``old`` to ``new`` (hex; None: absent). ``atomic``: all of the push or none."""

    ref: str
    old: str | None
    new: str | None
    atomic: bool = False


class _Container(DiskRefsContainer):
    """Dulwich's, which tells of a damaged file as people can use it."""

    def get_packed_refs(self) -> dict[Ref, ObjectID]:
        try:
            return super().get_packed_refs()
        except PackedRefsException as error:
            file = Path(os.fsdecode(self.path)) / "packed-refs"
            raise GitError(
                f"the refs of {file.parent.stem} cannot be read: {error}",
                f"move {file} away on the server, and push the missing refs again",
            ) from None


class Refs:
    """The refs of the repository at ``path``. Holds no state, so any thread may use it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def _container(self) -> DiskRefsContainer:
        return _Container(self.path)

    def get(self, ref: str) -> str | None:
        """The object (hex) that ``ref`` names, or None."""
        try:
            value = self._container().read_ref(Ref(ref.encode("utf-8", "surrogateescape")))
        except RefFormatError:
            return None
        return value.decode() if value and len(value) == 40 else None

    def all(self) -> dict[str, str]:
        """Every ref below ``refs/``, hidden ones too, with its object (hex), sorted by name."""
        container = self._container()
        names = (name for name in container.allkeys() if name.startswith(b"refs/"))
        values = {name: container.read_ref(name) for name in names}
        return {
            name.decode("utf-8", "surrogateescape"): value.decode()
            for name, value in sorted(values.items())
            if value and len(value) == 40
        }

    def compare_and_set(self, ref: str, old: str | None, new: str | None) -> bool:
        """Moves ``ref`` from ``old`` to ``new`` (None: absent) and tells whether it did; False leaves it as it was.

        Raises GitError when another writer holds the lock, when a ref with a name above or below exists
        (``a`` and ``a/b`` cannot both), or when the disk refuses.
        """
        if old is None and new is None:
            return False
        container = self._container()
        name, expected = Ref(ref.encode()), ObjectID(old.encode()) if old else ZERO_SHA

        def move() -> bool:
            if new is None:
                return container.remove_if_equals(name, expected)
            self._make_way(container, ref)
            return container.set_if_equals(name, expected, ObjectID(new.encode()))

        with _as_git_error(ref):
            return _persistently(move)

    def compare_and_set_all(self, updates: Iterable[RefUpdate]) -> dict[str, str]:
        """Moves every ref or none: locks all, compares all, then writes. The reason per ref that stood in the way."""
        container = self._container()
        wanted = sorted(updates, key=lambda update: update.ref)  # one order, so that two pushes cannot deadlock
        reasons: dict[str, str] = {}
        with suppress(_NothingMoves), ExitStack() as locks:
            held: list[tuple[RefUpdate, locked_ref]] = []
            for update in wanted:
                try:
                    with _as_git_error(update.ref):
                        lock = _persistently(partial(self._enter, locks, container, update))
                except GitError as error:
                    reasons[update.ref] = error.message
                    continue
                held.append((update, lock))
                if not lock.ensure_equals(update.old.encode() if update.old else None):
                    reasons[update.ref] = MOVED_MEANWHILE
            if reasons:
                raise _NothingMoves  # makes every lock let go without writing
            for update, lock in held:
                if update.new is None:
                    lock.delete()
                else:
                    lock.set(update.new.encode())
        return reasons

    def head(self) -> str:
        """The branch that a clone checks out, whether it exists or not."""
        found = self._container().read_ref(Ref(b"HEAD")) or b""
        return found.removeprefix(b"ref: ").decode("utf-8", "surrogateescape").strip()

    def point_head(self, ref: str) -> None:
        """Makes ``ref`` the branch that a clone checks out."""
        with _as_git_error("HEAD"):
            self._container().set_symbolic_ref(Ref(b"HEAD"), Ref(ref.encode()))

    def _enter(self, locks: ExitStack, container: DiskRefsContainer, update: RefUpdate) -> locked_ref:
        if update.new is not None:
            self._make_way(container, update.ref)
        return locks.enter_context(locked_ref(container, Ref(update.ref.encode())))

    def _make_way(self, container: DiskRefsContainer, ref: str) -> None:
        """``refs/heads/a`` is a file, or a directory for ``refs/heads/a/b``: Dulwich sees only half of the cases."""
        name = Ref(ref.encode())
        if container.read_ref(name) is not None:
            return
        for other in container.allkeys():
            if other.startswith(name + b"/") or name.startswith(other + b"/"):
                raise GitError(f"'{other.decode('utf-8', 'replace')}' exists, both cannot be")
        for directory, _, _ in os.walk(self.path / ref, topdown=False):
            with suppress(FileNotFoundError):
                Path(directory).rmdir()  # empty: what a deleted refs/heads/a/b left behind


class _NothingMoves(Exception):
    pass


def _persistently(attempt: Callable[[], Moved]) -> Moved:
    """Again when a directory vanished on the way: whoever deletes the last ref in it removes it."""
    for _ in range(TRIES):
        with suppress(FileNotFoundError):
            return attempt()
    return attempt()


@contextmanager
def _as_git_error(ref: str) -> Iterator[None]:
    try:
        yield
    except FileLocked:  # not an OSError: it escapes Dulwich's own handler and the client sees a disconnect
        raise GitError(LOCKED, f"{ref} is being updated by someone else") from None
    except RefFormatError:
        raise GitError("not a valid ref name") from None
    except OSError as error:
        raise GitError(f"cannot write {ref}: {error.strerror}", "check the server's disk") from error
