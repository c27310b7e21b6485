"""Receives packs with Dulwich, for machines without git."""

from __future__ import annotations

import hashlib
import mmap
import os
import zlib
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

from dulwich.errors import ApplyDeltaError
from dulwich.object_format import SHA1
from dulwich.object_store import DiskObjectStore
from dulwich.objects import RawObjectID
from dulwich.pack import Pack, apply_delta, extend_pack, write_pack_index

from gitship.git.connectivity import ConnectivityWalk
from gitship.git.fsck import Fsck
from gitship.git.history import BadObject
from gitship.git.ingest import MISSING, UNPACK_LIMIT, IngestError
from gitship.git.object_headers import (
    BLOB,
    OFS_DELTA,
    REF_DELTA,
    TYPE_NAMES,
    delta_distance,
    delta_sizes,
    object_header,
    open_store,
    peek,
)
from gitship.git.pack_feed import PackFeed
from gitship.git.pack_stream import DAMAGED, PackEntry, PackStream
from gitship.git.push_limits import ReceiveLimits, size
from gitship.git.quarantine import Quarantine
from gitship.git.repository import Repository

MAX_LOOSE_BYTES = 1 << 20
MAX_DELTA_BYTES = 512 << 20
"""What delta bases and results may take in this process at once; git.git's history needs 4 MiB."""


class DulwichIngest:
    """One pass over the stream, one over the deltas, and no second look: half the CPU of Dulwich's add_thin_pack."""

    def __call__(
        self, feed: PackFeed, quarantine: Quarantine, repository: Repository, tips: Sequence[str], limits: ReceiveLimits
    ) -> Collection[str]:
        intake = _Intake(feed, quarantine, limits)
        intake.receive()
        return intake.unconnected(repository, tips)


class _Intake:
    """One pack on its way: its entries, what they are, and what they refer to."""

    def __init__(self, feed: PackFeed, quarantine: Quarantine, limits: ReceiveLimits) -> None:
        self._feed = feed
        self._quarantine = quarantine
        self._limits = limits
        self._fsck = Fsck()
        self._entries: list[PackEntry] = []
        self._largest = 0
        self.types: dict[bytes, int] = {}
        self._wanted: dict[bytes, int] = {}

    def receive(self) -> None:
        """The pack, indexed, in the quarantine. Raises IngestError."""
        path = self._quarantine.path / "pack" / "tmp_pack"
        reader = self._feed.pipe()
        try:
            with path.open("w+b") as file:
                stream = PackStream(self._feed, reader, file, self._limits)
                for entry, content in stream:
                    self._entries.append(entry)
                    if entry.sha:
                        self._know(entry.sha, entry.type, entry.size, content)
                file.flush()
                checksum = stream.checksum
                if len(self._entries) != len(self.types):
                    outside = self._resolve(path, stream.check_time)
                    if outside:
                        checksum = self._add_bases(file, outside)
                os.fsync(file.fileno())
        finally:
            os.close(reader)
        self._write_index(path, checksum)

    def _know(self, sha: bytes, kind: int, length: int, content: bytes | None) -> None:
        self.types[sha] = kind
        self._largest = max(self._largest, length)
        if content is None:
            return
        try:
            for link, expected in self._fsck.links(kind, content):
                if self._wanted.setdefault(link, expected) != expected:
                    raise BadObject(f"{link.hex()[:10]} cannot be two types at once")
        except BadObject as error:
            raise IngestError(f"unsafe or damaged object {sha.hex()[:10]}: {error}") from None

    def _resolve(self, path: Path, check_time: Callable[[], None]) -> list[bytes]:
        """Applies every delta; the objects outside of the pack that were needed as bases."""
        deltas = _Deltas(self._entries)
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as pack,
            open_store(self._quarantine.objects) as store,
        ):
            for entry in [e for e in self._entries if e.sha and deltas.wait_for(e)]:
                self._follow(pack, deltas, entry, inflate(pack, entry.offset), check_time)
            outside: list[bytes] = []
            for sha in [base for base in deltas.by_sha if base not in self.types]:
                # A base may meanwhile have come out of another delta.
                if sha not in deltas.by_sha:
                    continue
                try:
                    info = peek(store, sha.hex())
                except KeyError:
                    continue
                self._allow(info.size, 0)
                kind, content = store.get_raw(RawObjectID(sha))
                outside.append(sha)
                self._follow(pack, deltas, PackEntry(-1, kind, info.size, sha=sha), content, check_time)
        if deltas.waiting:
            raise IngestError(MISSING)
        return outside

    def _follow(
        self, pack: mmap.mmap, deltas: _Deltas, base: PackEntry, content: bytes, check_time: Callable[[], None]
    ) -> None:
        """Everything that builds on ``base``, depth first, so that only one chain's contents are held."""
        levels = [(content, children)] if (children := deltas.pop(base)) else []
        held, kind = len(content), base.type
        while levels:
            content, waiting = levels[-1]
            entry = waiting.pop()
            if not waiting:  # the last one to need it: let go before descending, or a long chain would all be held
                levels.pop()
                held -= len(content)
            delta = inflate(pack, entry.offset)
            length = delta_sizes(delta)[1]
            self._allow(held, len(content) + length)
            try:
                result = b"".join(apply_delta(content, delta))
            except (ApplyDeltaError, ValueError, AssertionError) as error:
                raise IngestError(f"{DAMAGED} ({error})") from None
            entry.sha = _name(kind, result)
            self._know(entry.sha, kind, length, result if kind != BLOB else None)
            check_time()
            if children := deltas.pop(entry):
                levels.append((result, children))
                held += length

    def _allow(self, held: int, more: int) -> None:
        most = min(MAX_DELTA_BYTES, self._limits.memory_bytes)
        if held + more > most:
            raise IngestError(f"its deltas need more memory than the {size(most)} that a push may use")

    def _add_bases(self, file: BinaryIO, outside: list[bytes]) -> bytes:
        """A pack must hold the bases of its deltas: appends those that the client left out; the new checksum."""
        with open_store(self._quarantine.objects) as store:
            shas = [RawObjectID(sha) for sha in outside]
            checksum, added = extend_pack(file, set(shas), store.get_raw, SHA1)
        file.flush()
        for sha, offset, crc32 in added:
            self._entries.append(PackEntry(offset, 0, 0, crc32, sha))
        return checksum

    def _write_index(self, path: Path, checksum: bytes) -> None:
        if not self._entries:
            path.unlink()
            return
        base = path.with_name(f"pack-{checksum.hex()}")
        rows = sorted((RawObjectID(entry.sha), entry.offset, entry.crc32) for entry in self._entries)
        with base.with_suffix(".idx").open("wb") as file:
            write_pack_index(file, rows, checksum)
            file.flush()
            os.fsync(file.fileno())
        path.chmod(0o400)
        path.rename(base.with_suffix(".pack"))
        if len(rows) < UNPACK_LIMIT and self._largest <= MAX_LOOSE_BYTES:
            self._explode(base)

    def _explode(self, base: Path) -> None:
        with (
            closing(DiskObjectStore(self._quarantine.path)) as store,
            closing(Pack(str(base), object_format=SHA1)) as pack,
        ):
            for item in pack.iterobjects():
                store.add_object(item)
        for suffix in (".pack", ".idx"):
            base.with_suffix(suffix).unlink()

    def unconnected(self, repository: Repository, tips: Sequence[str]) -> Collection[str]:
        """The tips from which some object cannot be reached."""
        outside = False
        for sha, expected in self._wanted.items():
            kind = self.types.get(sha)
            outside |= kind is None
            if kind is not None and kind != expected:
                raise IngestError(f"object {sha.hex()[:10]} is a {TYPE_NAMES[kind].decode()}, which is not expected")
        if not outside:
            tips = [tip for tip in tips if bytes.fromhex(tip) not in self.types]
        if not tips:
            return ()
        with open_store(self._quarantine.path, self._quarantine.objects) as store:
            walk = ConnectivityWalk(store, self.types, repository.refs().values())
            return [tip for tip in tips if not walk.connected(bytes.fromhex(tip))]


class _Deltas:
    """The entries that wait for their base, by its place or by its name."""

    def __init__(self, entries: Sequence[PackEntry]) -> None:
        self.by_offset: dict[int, list[PackEntry]] = defaultdict(list)
        self.by_sha: dict[bytes, list[PackEntry]] = defaultdict(list)
        for entry in entries:
            if isinstance(entry.base, int):
                self.by_offset[entry.base].append(entry)
            elif entry.base is not None:
                self.by_sha[entry.base].append(entry)

    def wait_for(self, base: PackEntry) -> bool:
        return base.offset in self.by_offset or base.sha in self.by_sha

    def pop(self, base: PackEntry) -> list[PackEntry]:
        return self.by_offset.pop(base.offset, []) + self.by_sha.pop(base.sha, [])

    @property
    def waiting(self) -> bool:
        return bool(self.by_offset or self.by_sha)


def inflate(pack: mmap.mmap, offset: int) -> bytes:
    """The content of the entry at ``offset``, or its delta. The stream has been checked before."""
    head = pack[offset : offset + 64]
    kind, length, end = object_header(head)
    if kind == OFS_DELTA:
        _, end = delta_distance(head, end)
    elif kind == REF_DELTA:
        end += 20
    stream = zlib.decompressobj()
    at, parts, window = offset + end, [], max(4096, min(length, 1 << 20))
    while not stream.eof:
        parts.append(stream.decompress(pack[at : at + window]))
        at += window
    return b"".join(parts)


def _name(kind: int, content: bytes) -> bytes:
    name = hashlib.sha1(b"%s %d\0" % (TYPE_NAMES[kind], len(content)), usedforsecurity=False)
    name.update(content)
    return name.digest()
