"""Reads an object's type and size from its header, without its content."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dulwich.object_store import BaseObjectStore, DiskObjectStore
from dulwich.objects import ObjectID, RawObjectID, hex_to_sha, sha_to_hex
from dulwich.pack import Pack

COMMIT, TREE, BLOB, TAG = 1, 2, 3, 4
OFS_DELTA, REF_DELTA = 6, 7
TYPE_NUMBERS = {b"commit": COMMIT, b"tree": TREE, b"blob": BLOB, b"tag": TAG}
TYPE_NAMES = {number: name for name, number in TYPE_NUMBERS.items()}
MAX_DELTA_CHAIN = 4096  # git writes chains of 50 (250 when aggressive); longer than this is an attack
DEFLATE_HEAD = 1024  # bytes that surely inflate to something: the tables of a dynamic block take up to 600


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """``type`` is COMMIT, TREE, BLOB or TAG; ``size`` is in bytes, inflated."""

    type: int
    size: int


@contextmanager
def open_store(objects: Path, *alternates: Path) -> Iterator[DiskObjectStore]:
    """The objects as they are on disk now: a store that lives on caches its list of packs."""
    store = DiskObjectStore(objects, alternates=[str(path) for path in alternates])
    try:
        yield store
    finally:
        for alternate in store.alternates:  # DiskObjectStore.close() leaves these open
            alternate.close()
        store.close()


def peek(store: BaseObjectStore, sha: str) -> ObjectInfo:
    """Type and size of ``sha``, without inflating it. Raises KeyError when the store has no such object."""
    for disk in (store, *getattr(store, "alternates", ())):
        if not isinstance(disk, DiskObjectStore):
            continue
        info = _peek_loose(Path(os.fspath(disk.path)), sha) or _peek_packed(disk, sha)
        if info:
            return info
    raise KeyError(sha)


def _peek_loose(objects: Path, sha: str) -> ObjectInfo | None:
    try:
        with (objects / sha[:2] / sha[2:]).open("rb") as file:
            head = zlib.decompressobj().decompress(file.read(DEFLATE_HEAD), 64)
    except FileNotFoundError:
        return None
    kind, _, rest = head.partition(b" ")
    return ObjectInfo(TYPE_NUMBERS[kind], int(rest.partition(b"\0")[0]))


def _peek_packed(store: DiskObjectStore, sha: str) -> ObjectInfo | None:
    raw = hex_to_sha(ObjectID(sha.encode()))
    for pack in store.packs:
        try:
            offset = pack.index.object_offset(raw)
        except KeyError:
            continue
        return _peek_at(store, pack, offset)
    return None


def _peek_at(store: DiskObjectStore, pack: Pack, offset: int) -> ObjectInfo:
    """Follows the delta chain for the type; the size stands in the first delta's own header."""
    size: int | None = None
    with Path(os.fspath(pack.data.path)).open("rb") as file:
        for _ in range(MAX_DELTA_CHAIN):
            head = os.pread(file.fileno(), DEFLATE_HEAD + 32, offset)  # the entry's own header comes first
            kind, length, at = object_header(head)
            if kind not in (OFS_DELTA, REF_DELTA):
                return ObjectInfo(kind, length if size is None else size)
            if kind == OFS_DELTA:
                distance, at = delta_distance(head, at)
                base = offset - distance
            else:
                raw, at = head[at : at + 20], at + 20
            if size is None:
                size = delta_sizes(zlib.decompressobj().decompress(head[at:], 32))[1]
            if kind == REF_DELTA:
                try:
                    base = pack.index.object_offset(RawObjectID(raw))
                except KeyError:
                    return ObjectInfo(peek(store, sha_to_hex(RawObjectID(raw)).decode()).type, size)
            offset = base
    raise KeyError("delta chain without an end")


def object_header(data: bytes | memoryview, at: int = 0) -> tuple[int, int, int]:
    """Type, inflated size and end of the header of a pack entry. Raises IndexError when ``data`` ends within it."""
    byte = data[at]
    kind, size, shift = byte >> 4 & 7, byte & 15, 4
    while byte & 0x80:
        at += 1
        byte = data[at]
        size |= (byte & 0x7F) << shift
        shift += 7
    return kind, size, at + 1


def delta_distance(data: bytes | memoryview, at: int) -> tuple[int, int]:
    """How far before its entry an OFS_DELTA's base lies, and the end of that number. Raises IndexError at the end."""
    byte = data[at]
    distance = byte & 0x7F
    while byte & 0x80:
        at += 1
        byte = data[at]
        distance = (distance + 1 << 7) | byte & 0x7F
    return distance, at + 1


def delta_sizes(delta: bytes) -> tuple[int, int]:
    """Size of the base and of the result that a delta declares. Raises IndexError when it is too short."""
    sizes, at = [], 0
    for _ in range(2):
        size = shift = 0
        while True:
            byte = delta[at]
            at += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
        sizes.append(size)
    return sizes[0], sizes[1]
