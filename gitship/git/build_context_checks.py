"""Checks before a build: missing Dockerfile, size, links, Git LFS."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Sequence
from itertools import compress

from gitship.errors import GitError, NoDockerfile
from gitship.git import snapshot
from gitship.git.blobs import Blobs
from gitship.git.snapshot import TreeEntry, printable
from gitship.git.starter_dockerfile import starting_dockerfile

MAX_CONTEXT_BYTES = 10 << 30  # a few kB of pack can unfold to any size
LFS_BYTES = range(100, 1025)  # the specification's upper limit; the shortest pointer has 126
LFS_BEGINNINGS = (b"version https://git-lfs.github.com/spec/", b"version https://hawser.github.com/spec/")
SHOWN = 5


def no_dockerfile(dockerfile: str, paths: Collection[str]) -> NoDockerfile:
    """The answer to a tree without ``dockerfile``: the nearest file that there is, else one to start with."""
    missing = f"the commit has no {printable(dockerfile)}"
    same = next((p for p in paths if p.lower() == dockerfile.lower()), None)
    if same is not None:
        return NoDockerfile(
            f"{missing}; found '{printable(same)}'",
            f"names are case-sensitive: git mv {printable(same)} {printable(dockerfile)}, commit, push again",
        )
    others = [printable(p) for p in paths if "dockerfile" in posixpath.basename(p).lower().split(".")]
    if others:
        found = ", ".join(f"'{path}'" for path in others[:SHOWN])
        return NoDockerfile(
            f"{missing}; found {found}",
            "set it in a gitship.toml at the top of the repository, commit, push again:"
            f'\n\n[build]\ndockerfile = "{others[0]}"\n',
        )
    language, text = starting_dockerfile(paths)
    looks = f" (this looks like {language})" if language else ""
    return NoDockerfile(
        missing, f"commit a {printable(dockerfile)} and push again; one to start with{looks}:\n\n{text}"
    )


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
