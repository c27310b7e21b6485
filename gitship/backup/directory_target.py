"""Backups in a directory of this machine, which may be a mounted disk.

A marker file says that the directory is a target: when the disk is not mounted it is missing, and nothing is written to
the empty mount point.
"""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from gitship.backup import targets
from gitship.backup.stream import Meter, until_gone
from gitship.backup.target_probe import probe
from gitship.backup.targets import StoredObject, TargetDefinition, Written
from gitship.errors import GitshipError
from gitship.front.atomic_file import sync_directory

MARKER = ".gitship-target"
_UNFINISHED = ".gitship-unfinished-"
READ_BYTES = 1 << 20


class DirectoryTarget:
    """Files of mode 0600, each with its hash in a file beside it that ``sha256sum --check`` reads."""

    encrypts = False

    def __init__(self, definition: TargetDefinition) -> None:
        self._definition = definition
        self._root = Path(definition.url)

    def put(self, key: str, chunks: Iterable[bytes], gone: threading.Event) -> Written:
        path = self._path(key)
        with self._explained(f"write {path}"):
            self._mounted()
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _sweep(path.parent)
            meter = Meter()
            with _written_whole(path) as file:
                for chunk in meter.metered(until_gone(_from(chunks), gone)):
                    file.write(chunk)
                self._mounted()
            written = Written(meter.bytes, meter.sha256)
            try:
                with _written_whole(_beside(path)) as file:
                    file.write(targets.sidecar(key, written))
                if path.stat().st_size != written.bytes:
                    raise GitshipError(
                        f"{path} has {path.stat().st_size} bytes of {written.bytes}", "look at the disk, and try again"
                    )
            except BaseException:
                self.remove(key)
                raise
        return written

    def listed(self, prefix: str) -> list[StoredObject]:
        with self._explained(f"list {self._root}"):
            self._mounted()
            return sorted(self._found(prefix), key=lambda found: found.key)

    @contextmanager
    def read(self, key: str) -> Iterator[Iterator[bytes]]:
        path = self._path(key)
        with self._explained(f"read {path}"):
            self._mounted()
            try:
                file = path.open("rb")
            except FileNotFoundError:
                raise targets.missing(self._definition, key) from None
        with file:
            yield self._pieces(file, path)

    def remove(self, key: str) -> None:
        path = self._path(key)
        with self._explained(f"remove {path}"):
            self._mounted()
            for gone in (_beside(path), path):  # so that no hash is left without its object
                gone.unlink(missing_ok=True)

    def check(self, *, prepare: bool = True) -> None:
        marker = self._root / MARKER
        if prepare:
            with self._explained(f"make {self._root}"):
                self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
                if not marker.exists():
                    marker.write_text(f"Backups of gitship are in this directory: target {self._definition.name}.\n")
        probe(self, self._definition.name)

    def _mounted(self) -> None:
        if not (self._root / MARKER).exists():
            raise GitshipError(
                f"{self._root} is not the directory of target {self._definition.name}: it has no {MARKER}",
                f"mount its disk; if it is the right directory, `touch {self._root / MARKER}`",
            )

    def _found(self, prefix: str) -> Iterator[StoredObject]:
        for place, directories, names in os.walk(self._root, onerror=_raise):
            directories[:] = [name for name in directories if not name.startswith(".")]
            for path in (Path(place) / name for name in names):
                key = path.relative_to(self._root).as_posix()
                if key.startswith(prefix) and targets.is_key(key):
                    with suppress(FileNotFoundError):  # removed meanwhile
                        facts = path.stat()
                        yield StoredObject(key, facts.st_size, facts.st_mtime, _hash(path))

    def _path(self, key: str) -> Path:
        return self._root / targets.checked_key(key)

    def _pieces(self, file: BinaryIO, path: Path) -> Iterator[bytes]:
        with self._explained(f"read {path}"):
            while piece := file.read(READ_BYTES):
                yield piece

    @contextmanager
    def _explained(self, action: str) -> Iterator[None]:
        try:
            yield
        except _SourceFailed as failed:
            raise failed.error from None
        except OSError as error:
            raise GitshipError(f"cannot {action}: {error.strerror or error}", _hint(error, self._root)) from error


class _SourceFailed(Exception):
    """What gives the data raised an OSError, which says nothing about the disk."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error)
        self.error = error


def _from(chunks: Iterable[bytes]) -> Iterator[bytes]:
    try:
        yield from chunks
    except OSError as error:
        raise _SourceFailed(error) from error


@contextmanager
def _written_whole(path: Path) -> Iterator[BinaryIO]:
    """A file that becomes ``path`` when it is whole and on the disk, and is removed otherwise."""
    handle, name = tempfile.mkstemp(prefix=_UNFINISHED, dir=path.parent)  # made with mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
            file.flush()
            os.fsync(file.fileno())
            Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def _sweep(directory: Path) -> None:
    """Removes what a gitship that was killed had not finished: nobody holds its lock."""
    for left in directory.glob(f"{_UNFINISHED}*"):
        with suppress(OSError), left.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}{targets.SIDECAR}")


def _hash(path: Path) -> str | None:
    try:
        return targets.sidecar_hash(_beside(path).read_bytes())
    except FileNotFoundError:
        return None


def _raise(error: OSError) -> None:
    raise error


def _hint(error: OSError, root: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "free space there, or keep fewer backups"
    if error.errno == errno.EROFS:
        return "it is mounted read-only: look in `dmesg` for errors of the disk, and mount it writable"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"give it to gitship's user: `chown -R gitship: {root}`"
    if error.errno in (errno.EIO, errno.ESTALE, errno.ENOTCONN):
        return "the disk or network file system fails: look in `dmesg`"
    return "look at the directory, and try again"
