"""Incremental build context: the engine requests only the files that it lacks."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass

Contents = Generator[tuple[int, Iterator[bytes]], None, None]


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A directory, file or symbolic link, owned by root. ``path`` is slash-delimited, ``mode`` that of stat(2).

    ``time_ns`` is epoch nanoseconds, ``size`` bytes (of a link: of its ``target``).
    """

    path: str
    mode: int
    size: int
    time_ns: int
    target: str = ""


@dataclass(frozen=True, slots=True)
class SourceTree:
    """``files`` are in the order of ``by_name``. Iterate for the same context as a tar, for an engine without sessions.

    ``key`` names the context from build to build. For one key, two files of the same path, size and time have the
    same content: by these BuildKit tells whether it has a file from an earlier build.
    """

    key: str
    dockerfile: str  # its path, a plain file
    files: Sequence[SourceFile]
    contents: Callable[[Sequence[int]], Contents]  # (bytes, chunks) of each of these files, by their index
    tar: Callable[[], Generator[bytes, None, None]]

    def __iter__(self) -> Iterator[bytes]:
        return self.tar()


def by_name(path: str) -> bytes:
    """A key to sort paths by, as a walk through directories meets them: a directory's entries follow it at once."""
    return path.encode("utf-8", "surrogateescape").replace(b"/", b"\0")
