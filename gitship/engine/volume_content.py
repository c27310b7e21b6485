"""The content of a volume as one list, to compare two volumes by: taken from a tar archive as it passes. Pure."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterable, Iterator

from gitship import tar
from gitship.engine import volume_archive

_WHOLE = 1 << 256


class ContentList:
    """``files`` and their ``bytes``, directories and links not among them; ``sha256`` is of the whole list.

    The list has each entry's name, kind, mode, owner, size, link, hash, and of files the time; in which order they
    come makes no difference.
    """

    def __init__(self) -> None:
        self.files = 0
        self.bytes = 0
        self._sum = 0

    @property
    def sha256(self) -> str:
        """In hex, of what has passed so far."""
        return f"{self._sum:064x}"

    def noted(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The same archive. Raises ``volume_archive.BrokenArchive``, at the latest in place of its end."""
        for entry in volume_archive.entries(chunks):
            yield entry.head
            digest, left = hashlib.sha256(), entry.info.size
            for piece in entry.body:
                digest.update(piece[:left])
                left = max(0, left - len(piece))
                yield piece
            self._add(entry.info, digest.digest())
        yield tar.END

    def _add(self, info: tarfile.TarInfo, digest: bytes) -> None:
        kind = tarfile.REGTYPE if info.isreg() else info.type
        if info.isreg():
            self.files += 1
            self.bytes += info.size
        seconds = int(info.mtime) if info.isreg() else 0
        link = _plain(info.linkname) if info.type == tarfile.LNKTYPE else info.linkname
        facts = (_plain(info.name), kind, info.mode, info.uid, info.gid, info.size, link, seconds, digest)
        self._sum = (self._sum + int.from_bytes(hashlib.sha256(repr(facts).encode(*tar.TEXT)).digest())) % _WHOLE


def _plain(name: str) -> str:
    """The same for ``./data/`` and ``data``; "" for the volume's own root."""
    return "" if name in (".", "./") else name.removeprefix("./").rstrip("/")
