"""Reads a pack from a stream once: stores, verifies and indexes it.

Only one inflate per object, and no blob is ever held whole: 200 MiB of zeros in a 200 kB pack pass through 1 MiB at a
time. The end is found by counting objects, since a client need not end its stream.
"""

from __future__ import annotations

import hashlib
import os
import select
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from gitship.git.ingest import IngestError
from gitship.git.object_headers import (
    BLOB,
    OFS_DELTA,
    REF_DELTA,
    TYPE_NAMES,
    delta_distance,
    object_header,
)
from gitship.git.pack_feed import CHUNK_BYTES, PackFeed
from gitship.git.push_limits import ReceiveLimits, size

MAX_PARSED_BYTES = 64 << 20
"""Largest commit, tree or tag: these are held whole."""
_INFLATE_BYTES = 1 << 20
_SMALL_WINDOW, _LARGE_WINDOW = 4 << 10, 64 << 10  # zlib copies what it leaves of its input; most objects are small
_HEADER_BYTES = 20  # a pack entry's header and an offset; at least a zlib stream (8) and the checksum (20) follow
_LOOK_MS = 250
DAMAGED = "the pack is damaged"


@dataclass(slots=True)
class PackEntry:
    """An object of the pack. ``sha`` (20 bytes) is known at once unless it is a delta against ``base``.

    ``base`` is an offset or a sha; ``type`` is the pack's own, so a delta type until it is resolved.
    """

    offset: int
    type: int
    size: int
    crc32: int = 0
    sha: bytes = b""
    base: int | bytes | None = None


class PackStream:
    """Iterate it for (entry, content); the content is given for commits, trees and tags only. Raises IngestError."""

    def __init__(self, feed: PackFeed, reader: int, file: BinaryIO, limits: ReceiveLimits) -> None:
        self._feed = feed
        self._reader = reader
        self._file = file
        self._limits = limits
        self._cpu_end = time.thread_time() + limits.cpu_s
        self._poll = select.poll()
        self._poll.register(reader, select.POLLIN | select.POLLHUP)
        self._deadline = time.monotonic() + limits.ingest_s
        self._buffer = memoryview(b"")
        self._at = self._saved = 0
        self._offset = 0  # of the buffer's first byte in the pack
        self._sum = hashlib.sha1(usedforsecurity=False)
        self.checksum = b""

    def __iter__(self) -> Iterator[tuple[PackEntry, bytes | None]]:
        self._need(12)
        head = bytes(self._take(12))
        if head[:4] != b"PACK" or head[4:8] not in (b"\0\0\0\2", b"\0\0\0\3"):
            raise IngestError("the input is not a pack")
        for _ in range(int.from_bytes(head[8:], "big")):
            try:
                yield self._entry()
            except (zlib.error, IndexError) as error:
                raise IngestError(f"{DAMAGED} ({error})") from None
        self._save()
        self._need(20)
        self.checksum = bytes(self._buffer[self._at : self._at + 20])
        if self.checksum != self._sum.digest():
            raise IngestError(f"{DAMAGED} (its checksum is wrong)")
        self._file.write(self.checksum)

    def _entry(self) -> tuple[PackEntry, bytes | None]:
        self._need(_HEADER_BYTES)
        kind, length, end = object_header(self._buffer, self._at)
        entry = PackEntry(self._offset + self._at, kind, length)
        if kind == OFS_DELTA:
            distance, end = delta_distance(self._buffer, end)
            entry.base = entry.offset - distance
            if not 0 < distance < entry.offset:
                raise IngestError(f"{DAMAGED} (a delta's base lies outside of it)")
        header = self._take(end - self._at)
        entry.crc32 = zlib.crc32(header)
        if kind == REF_DELTA:
            self._need(20)
            entry.base = bytes(self._take(20))
            entry.crc32 = zlib.crc32(entry.base, entry.crc32)
        elif kind != OFS_DELTA and kind not in TYPE_NAMES:
            raise IngestError(f"{DAMAGED} (an object of an unknown type)")
        return entry, self._inflate(entry)

    def _inflate(self, entry: PackEntry) -> bytes | None:
        """Reads an entry to its end and names it, unless it is a delta. The content of all but deltas and blobs."""
        full = entry.type in TYPE_NAMES
        name = hashlib.sha1(usedforsecurity=False)
        if full:
            name.update(b"%s %d\0" % (TYPE_NAMES[entry.type], entry.size))
        kept: list[bytes] | None = [] if full and entry.type != BLOB else None
        if kept is not None and entry.size > MAX_PARSED_BYTES:
            raise IngestError(f"a {TYPE_NAMES[entry.type].decode()} has more than {size(MAX_PARSED_BYTES)}")
        stream = zlib.decompressobj()
        window = _SMALL_WINDOW if entry.size < _SMALL_WINDOW else _LARGE_WINDOW
        length = 0
        while not stream.eof:
            self.check_time()
            self._need(1)
            piece = self._buffer[self._at : self._at + window]
            data = stream.decompress(piece, _INFLATE_BYTES)
            # At the end unconsumed_tail may be there as well, and then it is the same bytes as unused_data.
            used = len(piece) - len(stream.unused_data if stream.eof else stream.unconsumed_tail)
            entry.crc32 = zlib.crc32(self._take(used), entry.crc32)
            length += len(data)
            if length > entry.size:
                break
            if full:
                name.update(data)
            if kept is not None:
                kept.append(data)
        if length != entry.size:
            raise IngestError(f"{DAMAGED} (an object is not as long as it says)")
        if full:
            entry.sha = name.digest()
        return b"".join(kept) if kept is not None else None

    def check_time(self) -> None:
        """Raises IngestError once this thread has used the CPU time that a push may use."""
        if time.thread_time() > self._cpu_end:
            raise IngestError(f"the pack needs more than {self._limits.cpu_s} s of CPU time")

    def _take(self, count: int) -> memoryview:
        part = self._buffer[self._at : self._at + count]
        self._at += count
        return part

    def _need(self, count: int) -> None:
        """Reads on until ``count`` bytes lie ahead; never asks for more than the pack must still have."""
        while len(self._buffer) - self._at < count:
            data = self._read()
            if not data:
                raise IngestError("the pack ended early")
            self._save()
            self._offset += self._at
            self._buffer = memoryview(bytes(self._buffer[self._at :]) + data)
            self._at = self._saved = 0
            if self._offset + len(self._buffer) > self._limits.max_pack_bytes:
                most = size(self._limits.max_pack_bytes)
                raise IngestError(f"the pack is larger than {most}, the limit of this server")

    def _read(self) -> bytes:
        while not self._poll.poll(_LOOK_MS):
            if self._feed.stalled(self._limits.stall_s) or time.monotonic() > self._deadline:
                raise IngestError("the pack did not arrive in time")
        return os.read(self._reader, CHUNK_BYTES)

    def _save(self) -> None:
        """Writes what has been taken, and only that, to the file and into the checksum."""
        part = self._buffer[self._saved : self._at]
        self._file.write(part)
        self._sum.update(part)
        self._saved = self._at
