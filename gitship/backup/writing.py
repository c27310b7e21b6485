"""Writes a backup archive: tar entries, with the size and checksum of each in the manifest at its end."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from gitship import tar
from gitship.backup import archive_format
from gitship.errors import GitshipError

READ_BYTES = 256 << 10


class BackupWriter:
    """Every method gives the bytes of one entry, to be sent before the next is asked for."""

    def __init__(self) -> None:
        self._entries: dict[str, list[object]] = {}

    @property
    def count(self) -> int:
        return len(self._entries)

    def directory(self, name: str, mode: int) -> Iterator[bytes]:
        yield tar.directory(name, mode)

    def link(self, name: str, target: str) -> Iterator[bytes]:
        self._entries[name] = [0, hashlib.sha256(os.fsencode(target)).hexdigest()]
        yield tar.symlink(name, target)

    def data(self, name: str, content: bytes, mode: int = 0o600) -> Iterator[bytes]:
        yield from self._entry(name, len(content), mode, [content])

    def file(self, name: str, path: Path) -> Iterator[bytes]:
        """As long as it is now: a log may grow while it is read. Raises OSError, or GitshipError when it shrinks."""
        with path.open("rb") as file:
            facts = os.fstat(file.fileno())
            yield from self._entry(name, facts.st_size, facts.st_mode & 0o777, _read(file, facts.st_size, path))

    def document(self, name: str, document: object) -> Iterator[bytes]:
        yield from self.data(name, json.dumps(document, sort_keys=True).encode(*tar.TEXT))

    def end(self) -> Iterator[bytes]:
        """The manifest, and the archive's end."""
        content = json.dumps({"format": archive_format.FORMAT, "entries": self._entries}, sort_keys=True).encode(
            "utf-8", "surrogatepass"
        )
        yield tar.file(archive_format.MANIFEST, len(content), 0o600)
        yield content + tar.padding(len(content)) + tar.END

    def _entry(self, name: str, size: int, mode: int, pieces: Iterable[bytes]) -> Iterator[bytes]:
        yield tar.file(name, size, mode)
        digest = hashlib.sha256()
        for piece in pieces:
            digest.update(piece)
            yield piece
        yield tar.padding(size)
        self._entries[name] = [size, digest.hexdigest()]


def _read(file: io.BufferedReader, size: int, path: Path) -> Iterator[bytes]:
    while size > 0:
        piece = file.read(min(size, READ_BYTES))
        if not piece:
            raise GitshipError(f"{path} became shorter while it was read", "run server:backup again")
        size -= len(piece)
        yield piece
