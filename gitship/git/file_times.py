"""Modification times of files in build contexts: stable while a file is unchanged.

BuildKit tells by path, type, mode, size and time whether it has a file of an earlier build. So a file that a commit
leaves alone keeps its time, and one that it changes gets a time that no file of this app had before. All that change
in one build get the same, the commit's where that is later than what went before: `make` in a Dockerfile sees what a
checkout that was brought up to date would show it, and a web server's Last-Modified moves on.

The times stand beside the objects, in the repository: they are renamed, counted and removed with it, and neither copied
nor backed up. When the file is lost, damaged, or of another gitship, all begins again under another ``key``, of which
BuildKit has nothing. Its fraction of a second is chance, so that a file that somebody put back does no harm, either.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gitship.errors import GitError
from gitship.git.snapshot import TreeEntry

NAME = "build-times"
_FORMAT = b"gitship build times 1"
_SECOND_NS = 10**9


@dataclass(frozen=True, slots=True)
class FileTimes:
    """``key`` stands for all builds that these times are of; ``at_ns`` (epoch nanoseconds) are the entries' own."""

    key: str
    at_ns: Sequence[int]


@dataclass(frozen=True, slots=True)
class _Known:
    key: str
    newest_s: int
    files: Mapping[bytes, tuple[bytes, int]]  # by path: the object's id (hex), its time


def of(repository: Path, entries: Sequence[TreeEntry], when: int) -> FileTimes:
    """The times of a build's entries, in their order; ``when`` is the commit's, epoch seconds.

    On the disk before they are returned: once a build has used a time, no other content can get it, whatever happens.
    Raises GitError when the disk does not take them.
    """
    try:
        with _locked(repository):
            known = _read(repository / NAME)
            paths = [entry.path.encode("utf-8", "surrogateescape") for entry in entries]
            newest_s = max(min(when, int(time.time())), known.newest_s + 1)
            new_ns = newest_s * _SECOND_NS + secrets.randbelow(_SECOND_NS)
            files: dict[bytes, tuple[bytes, int]] = {}
            for path, entry in zip(paths, entries, strict=True):
                had = known.files.get(path)
                files[path] = had if had is not None and had[0] == entry.id else (entry.id, new_ns)
            if files != known.files:
                _write(repository / NAME, _Known(known.key, newest_s, files))
    except OSError as error:
        raise GitError(f"the times of files cannot be kept: {error.strerror or error}", "check the disk") from error
    return FileTimes(known.key, [files[path][1] for path in paths])


@contextmanager
def _locked(repository: Path) -> Iterator[None]:
    """Builds of one app may begin at once. The kernel ends the lock of a process that is killed."""
    handle = os.open(repository, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _read(path: Path) -> _Known:
    with suppress(FileNotFoundError, ValueError, IndexError):
        return _parsed(path.read_bytes())
    return _Known(secrets.token_hex(16), 0, {})


def _parsed(data: bytes) -> _Known:
    """Raises ValueError or IndexError when it is not whole."""
    digest, _, text = data.partition(b"\n")
    if digest.decode() != hashlib.sha256(text).hexdigest():
        raise ValueError
    head, *rows = text.split(b"\0")
    form, key, newest = head.split(b"\n")
    if form != _FORMAT:
        raise ValueError
    files = {}
    for row in rows:
        id_, at, path = row.split(b" ", 2)
        files[path] = (id_, int(at))
    return _Known(key.decode(), int(newest), files)


def _write(path: Path, known: _Known) -> None:
    head = b"%b\n%b\n%d" % (_FORMAT, known.key.encode(), known.newest_s)
    text = b"\0".join([head, *(b"%b %d %b" % (id_, at, name) for name, (id_, at) in known.files.items())])
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f"{NAME}-", suffix=".lock", delete=False) as file:
        try:  # a killed gitship's next start removes what ends with .lock
            file.write(hashlib.sha256(text).hexdigest().encode() + b"\n" + text)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
