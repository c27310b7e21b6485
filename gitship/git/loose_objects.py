"""Writes loose objects, for commits that do not come from a push."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

from gitship.errors import GitError

CHUNK_BYTES = 1 << 20
LEVEL = 1  # zlib: 3 times as fast as git's own default, for 5 % more bytes


class LooseWriter:
    """Writes into an object directory; nobody finds an object there before it is whole."""

    def __init__(self, objects: Path) -> None:
        self._objects = objects

    def add(self, kind: bytes, data: bytes) -> bytes:
        """The id (hex) of the object. Raises OSError."""
        rest = memoryview(data)

        def read(count: int) -> bytes:
            nonlocal rest
            piece, rest = bytes(rest[:count]), rest[count:]
            return piece

        return self.stream(kind, len(data), read)

    def stream(self, kind: bytes, size: int, read: Callable[[int], bytes]) -> bytes:
        """As ``add``, for ``size`` bytes that come piece by piece. Raises OSError, GitError when fewer come."""
        digest, deflate = hashlib.sha1(usedforsecurity=False), zlib.compressobj(LEVEL)
        head = b"%b %d\0" % (kind, size)
        digest.update(head)
        number, name = tempfile.mkstemp(prefix="tmp_obj_", dir=self._objects)
        with os.fdopen(number, "wb") as file:
            file.write(deflate.compress(head))
            left = size
            while left > 0:
                piece = read(min(left, CHUNK_BYTES))
                if not piece:
                    raise GitError("the archive ended early", "send it again")
                left -= len(piece)
                digest.update(piece)
                file.write(deflate.compress(piece))
            file.write(deflate.flush())
            os.fchmod(file.fileno(), 0o400)
        sha = digest.hexdigest()
        target = self._objects / sha[:2]
        target.mkdir(exist_ok=True)
        Path(name).replace(target / sha[2:])
        return sha.encode()
