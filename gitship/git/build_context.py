"""A commit as Docker's build context, as a reproducible tar stream.

Symbolic links stay links, a submodule is an empty directory, files are 0644 or 0755 and owned by root, times are the
commit's. `.gitattributes` is not honoured: neither `export-ignore` (use .dockerignore) nor `eol` and filters. Files in
Git LFS are refused by name, because what the commit holds of them is a pointer that no build can use.
"""

from __future__ import annotations

import posixpath
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gitship import tar
from gitship.errors import GitError
from gitship.git import blobs, dockerignore, snapshot
from gitship.git.build_context_checks import check_contents
from gitship.git.missing_dockerfile import no_dockerfile
from gitship.git.snapshot import Snapshot, TreeEntry, printable

CHUNK_BYTES = 64 * 1024  # small files are sent together: fewer writes to the engine's socket
MAX_DOCKERIGNORE_BYTES = 64 << 10

_HAS_CONTENT = (snapshot.FILE, snapshot.SYMLINK)


@dataclass(frozen=True, slots=True)
class TreeSummary:
    """What a push brings: the number of ``files`` (links included), their ``bytes``, the commit's first line."""

    files: int
    bytes: int
    subject: str


def tree_summary(repository_path: Path, commit: str, *, subdirectory: str = "") -> TreeSummary:
    """Counts the commit's files, .dockerignore not applied. Raises GitError when it cannot be read."""
    with Snapshot(repository_path, commit) as tree:
        top = tree.directory(_inside("context", subdirectory))
        ids = [e.id for e in tree.walk(top, lambda _: True) if e.kind in _HAS_CONTENT]
        return TreeSummary(len(ids), sum(blobs.choose(repository_path).sizes(ids)), tree.subject)


@dataclass(frozen=True, slots=True)
class BuildContext:
    """What a build gets of a commit: ``entries``, a directory before what it holds, with the ``sizes`` of contents.

    ``dockerfile`` is one of the paths; ``when`` is the commit's time, epoch seconds. ``directory`` of the commit is
    what was asked for, and ``ignore`` what was left out of it.
    """

    reader: blobs.Blobs
    dockerfile: str
    entries: Sequence[TreeEntry]
    sizes: Sequence[int]  # bytes; 0 for a directory
    when: int
    directory: str
    ignore: dockerignore.Dockerignore

    def tar(self) -> Generator[bytes, None, None]:
        """All of it as a tar, in chunks. ``close`` it when it is not read to its end. Raises GitError."""
        return _stream(self.reader, self.entries, self.when)


def prepare(
    repository_path: Path,
    commit: str,
    *,
    subdirectory: str = "",
    dockerfile: str = "Dockerfile",
    reader: blobs.Blobs | None = None,
) -> BuildContext:
    """The context of the commit's tree, or of its ``subdirectory``; ``dockerfile`` is a path within it.

    Everything that can be wrong with the commit is looked for before this returns, so that a build never begins with
    half a context. Raises GitError. Memory: the list of names, and while contents are read one chunk of a large blob
    (where git is not installed: one blob). ``reader`` is chosen when None.
    """
    subdirectory = _inside("context", subdirectory)
    dockerfile = _inside("dockerfile", dockerfile) or "Dockerfile"
    reader = reader or blobs.choose(repository_path)
    with Snapshot(repository_path, commit) as tree:
        top = tree.directory(subdirectory)
        ignore = _dockerignore(tree, reader, top, dockerfile)
        entries = _kept(tree, top, ignore)
        if not any(e.path == dockerfile and e.kind in _HAS_CONTENT for e in entries):
            raise no_dockerfile(tree, reader, subdirectory, dockerfile)
        sizes = iter(check_contents(reader, [e for e in entries if e.kind in _HAS_CONTENT]))
        all_sizes = [next(sizes) if e.kind in _HAS_CONTENT else 0 for e in entries]
        when = min(max(tree.time, 0), tar.MAX_TIME_S)
        return BuildContext(reader, dockerfile, entries, all_sizes, when, subdirectory, ignore)


def _inside(key: str, path: str) -> str:
    """The path, cleaned; "" for the top. Raises GitError when it leads out of the commit."""
    cleaned = posixpath.normpath(path) if path else ""
    if cleaned.startswith(("/", "../")) or cleaned == ".." or "\0" in cleaned:
        raise GitError(
            f"build.{key} '{printable(path)}' is outside the repository", "give a path within the repository"
        )
    return "" if cleaned == "." else cleaned


def _dockerignore(tree: Snapshot, reader: blobs.Blobs, top: bytes, dockerfile: str) -> dockerignore.Dockerignore:
    """`<dockerfile>.dockerignore` where there is one, else `.dockerignore`, as BuildKit does."""
    for name in (f"{dockerfile}.dockerignore", ".dockerignore"):
        entry = tree.find(top, name)
        if entry is None or entry.kind == snapshot.DIRECTORY:
            continue
        if entry.kind != snapshot.FILE:
            raise GitError(f"{name} is a link", "commit it as a plain file; a link would be ignored")
        if reader.sizes([entry.id])[0] > MAX_DOCKERIGNORE_BYTES:
            raise GitError(f"{name} has more than {MAX_DOCKERIGNORE_BYTES} bytes", "use wildcards")
        text = b"".join(chunk for _, chunks in reader.contents([entry.id]) for chunk in chunks)
        return dockerignore.Dockerignore(dockerignore.parse(text, name), always=(dockerfile, name, ".dockerignore"))
    return dockerignore.Dockerignore(always=(dockerfile,))


def _kept(tree: Snapshot, top: bytes, ignore: dockerignore.Dockerignore) -> list[TreeEntry]:
    """The entries to send. An ignored directory is among them only when something in it is kept."""
    matched = {"": ignore.root}
    withheld: dict[str, TreeEntry] = {}
    kept: list[TreeEntry] = []

    def enters(directory: TreeEntry) -> bool:
        return directory.path not in withheld or ignore.may_keep_below(directory.path)

    for entry in tree.walk(top, enters):
        above = posixpath.dirname(entry.path)
        ignored, matches = ignore.ignores(entry.path, matched[above])
        if entry.kind == snapshot.DIRECTORY:
            matched[entry.path] = matches
            if ignored:
                withheld[entry.path] = entry
        if not ignored:
            needed = []
            while above in withheld:
                needed.append(withheld.pop(above))
                above = posixpath.dirname(above)
            kept += [*reversed(needed), entry]
    return kept


def _stream(reader: blobs.Blobs, entries: Sequence[TreeEntry], when: int) -> Generator[bytes, None, None]:
    contents = reader.contents([e.id for e in entries if e.kind in _HAS_CONTENT])
    pending = bytearray(tar.directory(".", when=when))  # plain, and so BuildKit takes the stream for an archive
    try:
        for entry in entries:
            if entry.kind not in _HAS_CONTENT:
                pending += tar.directory(entry.path, when=when)
                continue
            size, chunks = next(contents)
            if entry.kind == snapshot.SYMLINK:
                pending += tar.symlink(entry.path, b"".join(chunks).decode("utf-8", "surrogateescape"), when)
                continue
            pending += tar.file(entry.path, size, 0o755 if entry.mode & 0o100 else 0o644, when)
            for chunk in chunks:
                pending += chunk
                if len(pending) >= CHUNK_BYTES:
                    yield bytes(pending)
                    pending.clear()
            pending += tar.padding(size)
        yield bytes(pending) + tar.END
    finally:
        contents.close()
