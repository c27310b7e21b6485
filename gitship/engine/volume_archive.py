"""Checks tar archives of volumes as they stream: complete, and with no path outside the volume.

Docker takes an archive that ends between two entries for a whole one (measured on 20.10), and when a file shrinks while
it is read, the archive that it sends just stops. So both ways every header is read here. Memory is constant but for
the names of symbolic links on the way in.
"""

from __future__ import annotations

import math
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gitship import tar
from gitship.errors import GitshipError

PIECE_BYTES = 64 << 10
NAME_LIMIT = 1 << 20  # of an extension header: names, extended attributes

_EXTENSIONS = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_KEPT = (*_FILES, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE)
_WITHOUT_CONTENT = (
    tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE,
)  # fmt: skip
_WITHOUT_SPARSE = "create it without --sparse"


class BrokenArchive(GitshipError):
    """It is no tar archive, or not all of one."""


@dataclass(frozen=True, slots=True)
class ArchiveEntry:
    """``info`` is what all its headers say together, ``head`` these as they came, ``body`` the content with padding."""

    info: tarfile.TarInfo
    head: bytes
    body: Iterator[bytes]


def entries(chunks: Iterable[bytes]) -> Iterator[ArchiveEntry]:
    """Entry by entry to the mark at the archive's end. Raises BrokenArchive when that does not come."""
    source = _Source(chunks)
    common: dict[str, str] = {}
    while any(block := source.exactly(tar.BLOCK)):
        head = bytearray(block)
        own: dict[str, str] = {}
        info = _header(block)
        while info.type in _EXTENSIONS:
            if not 0 <= info.size <= NAME_LIMIT:
                raise BrokenArchive("the archive has a header that is too large", "create it again")
            text = source.exactly(_padded(info.size))
            block = source.exactly(tar.BLOCK)
            head += text + block
            own |= _extension(info, text[: info.size], common)
            info = _header(block)
        _complete(info, {**common, **own})
        body = source.pieces(_padded(info.size))
        yield ArchiveEntry(info, bytes(head), body)
        for _ in body:  # what the caller had no use for
            pass
    source.exhaust()


def whole(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same archive. Raises BrokenArchive, at the latest in place of its end, when it is not whole."""
    for entry in entries(chunks):
        yield entry.head
        yield from entry.body
    yield tar.END


def inside(chunks: Iterable[bytes], root: str) -> Iterator[bytes]:
    """The archive with all names below ``root``.

    Raises BrokenArchive, and GitshipError for an entry that would leave it or is neither file, directory, link nor
    FIFO.
    """
    links: set[str] = set()
    for entry in entries(chunks):
        info = entry.info
        name = _place(info.name, info.name, links)
        if info.type not in _KEPT:
            raise GitshipError(
                f"the archive has a device, '{info.name[:200]}'", "leave it out: volumes can hold only files"
            )
        if not name and info.type != tarfile.DIRTYPE:
            raise _leaving(info.name)
        target = _place(info.linkname, info.name, links) if info.type == tarfile.LNKTYPE else ""
        if info.type == tarfile.SYMTYPE or target in links:
            links.add(name)
        else:
            links.discard(name)  # a later entry takes the place of an earlier one
        info.name = f"{root}/{name}" if name else root
        if info.type == tarfile.LNKTYPE:
            info.linkname = f"{root}/{target}"
        if info.type in _FILES:
            info.type = tarfile.REGTYPE
        yield tar.header(info)
        yield from entry.body
    yield tar.END


def is_empty(chunks: Iterable[bytes]) -> bool:
    """True when there is nothing but the root."""
    return all(not _place(entry.info.name, "", set()) for entry in entries(chunks))


def gathered(pieces: Iterable[bytes], size: int = PIECE_BYTES) -> Iterator[bytes]:
    """The same bytes in pieces of ``size`` or more: each one that is sent costs two calls."""
    held = bytearray()
    for piece in pieces:
        held += piece
        if len(held) >= size:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)


class _Source:
    """Chunks of any size as so many bytes as are wanted."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def exactly(self, size: int) -> bytes:
        return b"".join(self.pieces(size))

    def pieces(self, size: int) -> Iterator[bytes]:
        while size > 0:
            while not self._rest:
                chunk = next(self._chunks, None)
                if chunk is None:
                    raise BrokenArchive("the archive ends early", "send the whole file again; its disk may be full")
                self._rest = memoryview(chunk)
            piece, self._rest = self._rest[:size], self._rest[size:]
            size -= len(piece)
            yield bytes(piece)

    def exhaust(self) -> None:
        """Takes what comes after the end (tar fills up to 10 kB), so that its sender is not cut off."""
        for _ in self._chunks:
            pass


def _padded(size: int) -> int:
    return size + -size % tar.BLOCK


def _header(block: bytes) -> tarfile.TarInfo:
    try:
        info = tarfile.TarInfo.frombuf(block, *tar.TEXT)
    except tarfile.HeaderError as error:
        raise BrokenArchive("this is not a tar archive, or a damaged one", "send tar, plain or gzipped") from error
    if info.type == tarfile.GNUTYPE_SPARSE:
        raise BrokenArchive(f"the archive has a sparse file, '{info.name[:200]}'", _WITHOUT_SPARSE)
    return info


def _extension(info: tarfile.TarInfo, text: bytes, common: dict[str, str]) -> dict[str, str]:
    """What a header says of the entry that follows; one for all entries is put into ``common``."""
    if info.type in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
        key = "path" if info.type == tarfile.GNUTYPE_LONGNAME else "linkpath"
        return {key: text.partition(b"\0")[0].decode(*tar.TEXT)}
    records = _records(text)
    if any(key.startswith("GNU.sparse.") for key in records):
        raise BrokenArchive("the archive has a sparse file", _WITHOUT_SPARSE)
    if info.type == tarfile.XGLTYPE:
        common |= records
        return {}
    return records


def _records(text: bytes) -> dict[str, str]:
    """``20 path=some/thing\\n`` and so on (POSIX pax)."""
    found = {}
    while text:
        length, blank, _ = text.partition(b" ")
        end = int(length) if blank and length.isdigit() and len(length) < 8 else 0
        key, equals, value = text[len(length) + 1 : end - 1].partition(b"=")
        if not equals or end > len(text) or text[end - 1 : end] != b"\n":
            raise BrokenArchive("the archive has a damaged header", "create it again")
        found[key.decode(*tar.TEXT)] = value.decode(*tar.TEXT)
        text = text[end:]
    return found


def _complete(info: tarfile.TarInfo, records: dict[str, str]) -> None:
    """Puts into ``info`` what its extension headers say better; the others it keeps for the next reader."""
    records.pop("hdrcharset", None)
    try:
        info.name = records.pop("path", info.name)
        info.linkname = records.pop("linkpath", info.linkname)
        info.uname, info.gname = records.pop("uname", info.uname), records.pop("gname", info.gname)
        info.uid, info.gid = int(records.pop("uid", info.uid)), int(records.pop("gid", info.gid))
        info.size = int(records.pop("size", info.size))
        info.mtime = float(records.pop("mtime", info.mtime))
    except ValueError as error:
        raise BrokenArchive("the archive has a damaged header", "create it again") from error
    if info.type in _WITHOUT_CONTENT:
        info.size = 0
    if info.size < 0 or not math.isfinite(info.mtime):
        raise BrokenArchive("the archive has a damaged header", "create it again")
    info.pax_headers = records


def _place(name: str, entry: str, links: set[str]) -> str:
    """``name`` without dots. Raises GitshipError when it is outside, or behind a symbolic link of the archive."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or "\0" in name:
        raise _leaving(entry)
    if links and any("/".join(parts[:depth]) in links for depth in range(1, len(parts))):
        raise _leaving(entry)
    return "/".join(parts)


def _leaving(name: str) -> GitshipError:
    return GitshipError(
        f"the archive's entry '{name[:200]}' is outside the volume", "create it with names relative to the root"
    )
