"""Checks before a build: size, links, Git LFS."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress

from gitship.errors import GitError
from gitship.git import snapshot
from gitship.git.blobs import Blobs
from gitship.git.snapshot import TreeEntry, printable

MAX_CONTEXT_BYTES = 10 << 30  # a few kB of pack can unfold to any size
LFS_BYTES = range(100, 1025)  # the specification's upper limit; the shortest pointer has 126
LFS_BEGINNINGS = (b"version https://git-lfs.github.com/spec/", b"version https://hawser.github.com/spec/")
SHOWN = 5


def check_contents(reader: Blobs, files: Sequence[TreeEntry]) -> list[int]:
    """Looks at sizes (which it returns), link targets and Git LFS pointers. Raises GitError naming the files."""
    sizes = reader.sizes([e.id for e in files])
    if sum(sizes) > MAX_CONTEXT_BYTES:
        _, largest = max(zip(sizes, (printable(e.path) for e in files), strict=True))
        raise GitError(
            f"the commit's files are larger than {MAX_CONTEXT_BYTES >> 30} GB",
            f"the largest is '{largest}'; list what the build does not need in .dockerignore",
        )
    for entry, size in zip(files, sizes, strict=True):
        if entry.kind == snapshot.SYMLINK and not 0 < size <= snapshot.MAX_PATH_BYTES:
            raise GitError(f"the link '{printable(entry.path)}' has no usable target", "recreate it with `ln -s`")
    small = [e.kind == snapshot.FILE and size in LFS_BYTES for e, size in zip(files, sizes, strict=True)]
    pointers = _lfs_pointers(reader, list(compress(files, small)))
    if pointers:
        names = ", ".join(pointers[:SHOWN]) + (", ..." if len(pointers) > SHOWN else "")
        raise GitError(
            f"stored in Git LFS, which builds cannot read: {names}",
            "commit the content itself (`git lfs migrate export --include=...`), or name it in .dockerignore and"
            " download it in the Dockerfile",
        )
    return sizes


def _lfs_pointers(reader: Blobs, files: Sequence[TreeEntry]) -> list[str]:
    contents = zip(files, reader.contents([e.id for e in files]), strict=True)
    return [printable(e.path) for e, (_, chunks) in contents if b"".join(chunks).startswith(LFS_BEGINNINGS)]
