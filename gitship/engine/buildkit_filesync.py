"""BuildKit's file transfer protocol, the sender's side (tonistiigi/fsutil: send.go, types/wire.proto). Pure.

The sender tells what there is, a STAT each and an empty one at the end. The receiver compares that with what it has
(path, type, mode, size, time, link target), removes what is not told, and asks for each file that differs by its index
(REQ). It gets the contents (DATA, an empty one at the end of each) and ends with FIN, which the sender repeats.
"""

from __future__ import annotations

import stat
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

from gitship.engine import protobuf
from gitship.engine.source_tree import Contents, SourceFile

# Packet
_TYPE, _STAT, _ID, _DATA = 1, 2, 3, 4
STAT, REQ, DATA, FIN, ERR = range(5)
# Stat
_PATH, _MODE, _SIZE, _TIME, _LINK = 1, 2, 5, 6, 7
# Go's os.FileMode
_GO_DIRECTORY, _GO_SYMLINK = 1 << 31, 1 << 27
MAX_DATA_BYTES = 1 << 20  # a gRPC message may have 4 MiB


class FileSyncSender:
    """One transfer: feed it the receiver's packets, and send what ``messages`` gives.

    ``failed`` is what reading the contents raised; the receiver is told, and its build fails.
    """

    def __init__(self, files: Sequence[SourceFile], contents: Callable[[Sequence[int]], Contents]) -> None:
        self._files = files
        self._contents = contents
        self._wanted: deque[int] = deque()
        self._ended = False
        self.failed: Exception | None = None

    def feed(self, message: bytes) -> None:
        """Takes a packet of the receiver's. Raises ValueError for what is none."""
        packet = protobuf.fields(message)
        kind = packet.get(_TYPE, [STAT])[-1]
        if kind == REQ:
            index = packet.get(_ID, [0])[-1]
            if not (index < len(self._files) and stat.S_ISREG(self._files[index].mode)):
                raise ValueError(f"BuildKit asks for file {index}, which is none")
            self._wanted.append(index)
        elif kind in (FIN, ERR):  # why it gave up, the build's own answer tells
            self._ended = True
        else:
            raise ValueError(f"BuildKit sent a packet of type {kind}")

    def messages(self) -> Iterator[bytes | None]:
        """The packets to send; None while there is none until something is fed. Ends with the transfer."""
        for file in self._files:
            yield _stat(file)
        yield b""  # no type is STAT, and without a stat it is the last one
        while not self._ended:
            if self._wanted:
                yield from self._batch()
            else:
                yield None
        yield protobuf.number(_TYPE, FIN)

    def _batch(self) -> Iterator[bytes]:
        """All that is asked for by now, in one pass through the contents."""
        batch = list(self._wanted)
        self._wanted.clear()
        try:
            with closing(self._contents(batch)) as contents:
                for index, (size, chunks) in zip(batch, contents, strict=True):
                    yield from self._file(index, size, chunks)
        except Exception as error:  # whatever it is, half a context must not be built
            self.failed = error
            self._ended = True
            yield protobuf.number(_TYPE, ERR) + protobuf.data(_DATA, b"the file cannot be read")

    def _file(self, index: int, size: int, chunks: Iterator[bytes]) -> Iterator[bytes]:
        if size != self._files[index].size:
            raise ValueError(f"{self._files[index].path} has {size} bytes, not {self._files[index].size}")
        for chunk in chunks:
            for at in range(0, len(chunk), MAX_DATA_BYTES):
                yield _data(index, chunk[at : at + MAX_DATA_BYTES])
        yield _data(index, b"")


def _data(index: int, chunk: bytes) -> bytes:
    return protobuf.number(_TYPE, DATA) + protobuf.number(_ID, index) + protobuf.data(_DATA, chunk)


def _stat(file: SourceFile) -> bytes:
    kind = {stat.S_IFDIR: _GO_DIRECTORY, stat.S_IFLNK: _GO_SYMLINK}.get(stat.S_IFMT(file.mode), 0)
    encoded = protobuf.data(_PATH, file.path.encode()) + protobuf.number(_MODE, kind | stat.S_IMODE(file.mode))
    encoded += protobuf.number(_SIZE, file.size) + protobuf.number(_TIME, file.time_ns)
    if file.target:
        encoded += protobuf.data(_LINK, file.target.encode())
    return protobuf.data(_STAT, encoded)
