"""Turns a tar archive, plain or gzipped, into a commit.

Nothing is ever unpacked to paths of the archive's: its names become tree entries, and only those that git itself would
check out. Memory: one piece of a file, and the list of names.
"""

from __future__ import annotations

import tarfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import BinaryIO, cast

from dulwich.objects import Commit, ObjectID, Tree

from gitship.errors import GitError
from gitship.git.gunzip import EARLY, GunzipStream
from gitship.git.loose_objects import LooseWriter
from gitship.git.push_limits import size
from gitship.git.quarantine import Quarantine
from gitship.git.repository import Repository
from gitship.git.snapshot import printable, safe
from gitship.git.streams import ByteSource

MAX_FILES = 200_000
MAX_DEPTH = 256  # a tree object each, and git's own tools recurse
MAX_EXTENSION_BYTES = 1 << 20  # long names and attributes of one entry; tarfile reads these whole
FILE, EXECUTABLE, LINK, DIRECTORY = 0o100644, 0o100755, 0o120000, 0o040000
HINT = "make it with: git archive HEAD, or tar -c ."
_EXTENSIONS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


@dataclass(slots=True)
class Directory:
    """What will be a tree: files by name as (mode, object's id), and directories."""

    files: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    directories: dict[str, Directory] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Archived:
    """The commit that an archive became, and the SHA-256 (hex) of what came."""

    commit: str
    sha256: str


def commit_archive(
    repository: Repository,
    source: ByteSource,
    *,
    parent: str | None,
    author: str,
    strip: int,
    limit_bytes: int,
    title: str = "",
    admitted: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Archived:
    """A commit with exactly the archive's files, on top of ``parent``; no ref moves.

    ``strip`` leading directories of each name are left out; ``title`` is the commit's message, by default the
    archive's checksum. Within ``admitted`` the repository changes. Raises GitError, and what ``admitted`` raises; then
    the repository is as it was.
    """
    unpacked = GunzipStream(source, limit_bytes)
    try:
        with Quarantine(repository.objects) as quarantine:
            writer = LooseWriter(quarantine.path)
            tree = _write(_read(unpacked, writer, strip), writer)
            sha256 = unpacked.finish()
            commit = _commit(tree, parent, author, f"{title or f'archive {sha256}'}\n")
            writer.add(b"commit", commit.as_raw_string())
            with admitted():  # sending it may have taken minutes
                quarantine.keep()
    except OSError as error:
        raise GitError(f"the archive could not be stored: {error.strerror or error}", "check the disk") from error
    return Archived(commit.id.decode(), sha256)


class _Member(tarfile.TarInfo):
    """tarfile takes a damaged header for the end of the archive: half an app would be deployed."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Member:
        try:
            found = super().frombuf(buf, encoding, errors)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except (tarfile.HeaderError, ValueError):
            raise GitError("the archive ended early, or is damaged", HINT) from None
        if found.type in _EXTENSIONS and found.size > MAX_EXTENSION_BYTES:
            raise GitError(f"the archive has a name or attribute larger than {size(MAX_EXTENSION_BYTES)}", HINT)
        return found


def _read(unpacked: GunzipStream, writer: LooseWriter, strip: int) -> Directory:
    top, count = Directory(), 0
    names: dict[str, tuple[int, bytes]] = {}  # for hard links, which name what came before
    try:
        with tarfile.open(
            fileobj=cast(BinaryIO, unpacked), mode="r|", tarinfo=_Member, encoding="utf-8", errors="surrogateescape"
        ) as archive:
            for member in archive:
                archive.members.clear()  # type: ignore[attr-defined]
                entry = _entry(archive, member, writer, names)
                if entry is not None:
                    names[member.name] = entry
                    count += _put(top, member.name, entry, strip)
                count += 1
                if count > MAX_FILES:
                    raise GitError(f"the archive has more than {MAX_FILES} entries", "leave out generated files")
    except tarfile.TarError as error:
        if "unexpected end" in str(error):
            raise GitError(EARLY, "send it again") from None
        raise GitError(f"the input is not a tar archive ({error})", HINT) from None
    if not top.files and not top.directories:
        raise GitError("the archive has no files" + (f" below {strip} directories" if strip else ""), HINT)
    return top


def _entry(
    archive: tarfile.TarFile, member: tarfile.TarInfo, writer: LooseWriter, names: dict[str, tuple[int, bytes]]
) -> tuple[int, bytes] | None:
    """Mode and object of a file or link; None for a directory, which git has only for what is in it."""
    name = printable(member.name)
    if member.isdir():
        return None
    if "\0" in member.name + member.linkname:
        raise GitError(f"'{name}' has a zero byte in its name or target", HINT)
    if member.issym():
        target = member.linkname.encode("utf-8", "surrogateescape")
        return LINK, writer.add(b"blob", target)
    if member.islnk():
        if member.linkname not in names:
            raise GitError(f"'{name}' is a hard link to a file that is not earlier in the archive", HINT)
        return names[member.linkname]
    if not member.isreg() or member.sparse is not None or member.size < 0:
        raise GitError(f"'{name}' is neither file, link nor directory", "leave out devices, pipes and sparse files")
    content = archive.extractfile(member)
    assert content is not None
    blob = writer.stream(b"blob", member.size, content.read)
    return (EXECUTABLE if member.mode & 0o100 else FILE), blob


def _put(top: Directory, name: str, entry: tuple[int, bytes], strip: int) -> int:
    """Puts the entry where its name says; what came twice is what came last. How many directories that made."""
    shown = printable(name)
    if name.startswith("/"):
        raise GitError(f"the archive has a file with the absolute name '{shown}'", "create it with relative names")
    parts = [part for part in name.split("/") if part not in ("", ".")][strip:]
    if not parts:
        return 0
    if len(parts) > MAX_DEPTH:
        raise GitError(f"'{shown[:120]}...' is more than {MAX_DEPTH} directories deep", HINT)
    directory, prefix, made = top, "", 0
    for part in parts[:-1]:
        safe(part.encode("utf-8", "surrogateescape"), prefix)
        if part in directory.files:
            raise GitError(f"'{prefix}{printable(part)}' is both a directory and something else", HINT)
        made += part not in directory.directories
        directory = directory.directories.setdefault(part, Directory())
        prefix += f"{part}/"
    safe(parts[-1].encode("utf-8", "surrogateescape"), prefix)
    if parts[-1] in directory.directories:
        raise GitError(f"'{shown}' is both a directory and something else", HINT)
    directory.files[parts[-1]] = entry
    return made


def _write(directory: Directory, writer: LooseWriter) -> bytes:
    tree = Tree()
    for name, below in directory.directories.items():
        tree.add(name.encode("utf-8", "surrogateescape"), DIRECTORY, ObjectID(_write(below, writer)))
    for name, (mode, blob) in directory.files.items():
        tree.add(name.encode("utf-8", "surrogateescape"), mode, ObjectID(blob))
    return writer.add(b"tree", tree.as_raw_string())


def _commit(tree: bytes, parent: str | None, author: str, message: str) -> Commit:
    commit = Commit()
    commit.tree = ObjectID(tree)
    commit.parents = [ObjectID(parent.encode())] if parent else []
    plain = "".join(c for c in author if c.isprintable() and c not in "<>")
    commit.author = commit.committer = f"{plain} <>".encode()
    commit.author_time = commit.commit_time = int(time.time())
    commit.author_timezone = commit.commit_timezone = 0
    commit.message = message.encode()
    return commit
