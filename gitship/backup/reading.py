"""Reads a backup archive entry by entry, and checks each against the manifest."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from gitship.backup import archive_format
from gitship.backup.archive_format import BackupHeader, IncompleteBackup

READ_BYTES = 256 << 10


@dataclass(frozen=True, slots=True)
class BackupEntry:
    """``kind`` is file, directory or link; ``content`` must be read to its end before the next entry is asked for."""

    name: str
    kind: str
    mode: int
    target: str
    content: Iterator[bytes]


class BackupReader:
    """Iterates over the entries between the header and the manifest, which are checked here.

    Iterating raises IncompleteBackup at whatever is not as the manifest says, at the latest in place of the end.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        """Reads the header. Raises IncompleteBackup, and GitshipError for a backup of a newer gitship."""
        self._seen: dict[str, list[object]] = {}
        try:
            self._tar = tarfile.open(fileobj=stream, mode="r|*", errorlevel=2)  # noqa: SIM115 (lives as long as the reader); gzip as well
            first = self._tar.next()
        except (tarfile.TarError, EOFError, OSError, ValueError) as error:
            raise IncompleteBackup(f"it is not a tar archive ({error})") from None
        if first is None or first.name != archive_format.HEADER:
            raise IncompleteBackup("it is not a gitship backup")
        self.about = BackupHeader.read(self._document(first))

    def __iter__(self) -> Iterator[BackupEntry]:
        while (info := self._next()) is not None:
            if info.name == archive_format.MANIFEST:
                self._compare(self._document(info, noted=False))
                return
            yield self._entry(info)
        raise IncompleteBackup("it ends before its manifest: it was cut off, or is still being written")

    def small(self, entry: BackupEntry) -> bytes:
        """The whole content of one of the entries that are held in memory."""
        return self._bounded(entry.name, entry.content)

    def _next(self) -> tarfile.TarInfo | None:
        try:
            found = self._tar.next()
            self._tar.members = []  # type: ignore[attr-defined]  # else it remembers every one
            return found
        except (tarfile.TarError, EOFError, OSError, ValueError) as error:
            raise IncompleteBackup(f"it is damaged or cut off ({error})") from None

    def _entry(self, info: tarfile.TarInfo) -> BackupEntry:
        if info.name in self._seen:
            raise IncompleteBackup(f"'{info.name[:200]}' is in it twice")
        if info.isdir():
            return BackupEntry(info.name, "directory", info.mode & 0o777, "", iter(()))
        if info.issym():
            self._seen[info.name] = [0, hashlib.sha256(os.fsencode(info.linkname)).hexdigest()]
            return BackupEntry(info.name, "link", 0o777, info.linkname, iter(()))
        if not info.isreg():
            raise IncompleteBackup(f"'{info.name[:200]}' is neither file, directory nor link")
        return BackupEntry(info.name, "file", info.mode & 0o777, "", self._content(info))

    def _content(self, info: tarfile.TarInfo) -> Iterator[bytes]:
        digest, size = hashlib.sha256(), 0
        try:
            file = self._tar.extractfile(info)
            assert file is not None
            while piece := file.read(READ_BYTES):
                digest.update(piece)
                size += len(piece)
                yield piece
        except (tarfile.TarError, EOFError, OSError, ValueError) as error:
            raise IncompleteBackup(f"it is damaged or cut off ({error})") from None
        if size != info.size:
            raise IncompleteBackup(f"it ends within '{info.name[:200]}'")
        self._seen[info.name] = [size, digest.hexdigest()]

    def _document(self, info: tarfile.TarInfo, *, noted: bool = True) -> Any:
        try:
            document = json.loads(self._bounded(info.name, self._content(info)))
        except (ValueError, RecursionError):
            raise IncompleteBackup(f"its {info.name} cannot be read") from None
        if not noted:
            self._seen.pop(info.name, None)
        return document

    def _bounded(self, name: str, content: Iterator[bytes]) -> bytes:
        data = bytearray()
        for piece in content:
            data += piece
            if len(data) > archive_format.MOST_BYTES.get(name, 0):
                raise IncompleteBackup(f"its {name[:200]} is too large")
        return bytes(data)

    def _compare(self, manifest: Any) -> None:
        """Every entry is there, each with its size and sum, and none beside them."""
        entries = manifest.get("entries") if isinstance(manifest, dict) else None
        if not isinstance(entries, dict):
            raise IncompleteBackup("its manifest cannot be read")
        for name in sorted(entries.keys() | self._seen.keys()):
            if entries.get(name) != self._seen.get(name):
                raise IncompleteBackup(f"'{name[:200]}' differs from what was backed up")
