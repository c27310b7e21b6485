"""Decompresses and hashes an uploaded archive, with a size limit."""

from __future__ import annotations

import hashlib
import zlib

from gitship.errors import GitError
from gitship.git.push_limits import size
from gitship.git.streams import ByteSource

READ_BYTES = 64 << 10
GZIP = b"\x1f\x8b"
OTHERS = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"PK\x03\x04": "zip", b"\x28\xb5\x2f\xfd": "zstd"}
EARLY = "the archive ended early"


class GunzipStream:
    """A file to read from, for tarfile. ``limit_bytes`` bounds what comes, and what it becomes."""

    def __init__(self, source: ByteSource, limit_bytes: int) -> None:
        self._source = source
        self._limit = limit_bytes
        self._hash = hashlib.sha256()
        self._came = 0
        self._given = 0
        self._raw = b""  # read ahead, not unpacked yet
        self._ready = bytearray()
        self._inflate: zlib._Decompress | None = None
        self._gzip = self._looks_like_gzip()

    def read(self, count: int) -> bytes:
        """Exactly ``count`` bytes, fewer only at the end. Raises GitError."""
        while len(self._ready) < count and self._more():
            pass
        piece = bytes(self._ready[:count])
        del self._ready[: len(piece)]
        return piece

    def finish(self) -> str:
        """Reads what is left; the SHA-256 (hex) of all that came."""
        while self._more():
            self._ready.clear()
        return self._hash.hexdigest()

    def _looks_like_gzip(self) -> bool:
        while len(self._raw) < 6 and (piece := self._take()):
            self._raw += piece
        if not self._raw:
            raise GitError("standard input is empty", "for instance: git:from-archive APP < app.tar.gz")
        for magic, name in OTHERS.items():
            if self._raw.startswith(magic):
                raise GitError(f"the archive is {name}", "send a tar archive, plain or gzipped")
        return self._raw.startswith(GZIP)

    def _take(self) -> bytes:
        piece = self._source.read(READ_BYTES)
        self._came += len(piece)
        if self._came > self._limit:
            raise self._too_large()
        self._hash.update(piece)
        return piece

    def _more(self) -> bool:
        """Some more bytes are ready, or may be next time; False at the end."""
        raw, self._raw = self._raw or self._take(), b""
        if not self._gzip:
            return self._give(raw)
        if not raw:
            if self._inflate is not None:
                raise GitError(EARLY, "send it again")
            return False
        if self._inflate is None:  # several gzips in a row are one, as gunzip has it
            if not raw.startswith(GZIP[:1]):
                return bool(raw)  # what pads the archive's end
            self._inflate = zlib.decompressobj(wbits=31)
        try:
            data = self._inflate.decompress(raw, READ_BYTES)
        except zlib.error as error:
            raise GitError(f"the archive is damaged ({error})", "send it again") from None
        self._raw = self._inflate.unconsumed_tail
        if self._inflate.eof:
            self._raw, self._inflate = self._inflate.unused_data, None
        self._give(data)
        return True

    def _give(self, data: bytes) -> bool:
        self._given += len(data)
        if self._given > self._limit:
            raise self._too_large()
        self._ready += data
        return bool(data)

    def _too_large(self) -> GitError:
        return GitError(
            f"the archive has more than {size(self._limit)}, the limit of this server",
            "leave out generated files, or raise max_pack in [ssh]",
        )
