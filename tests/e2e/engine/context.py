"""Build contexts as gitship writes them: the directory ``.`` first, whole-second times."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

BUSYBOX = Path("/bin/busybox").read_bytes
BASE = "FROM scratch\nCOPY busybox /bin/busybox\nCOPY busybox /bin/sh\n"
BIG_PIECE = 1 << 20


def context(dockerfile: str, files: Mapping[str, bytes] | None = None, *, path: str = "Dockerfile") -> list[bytes]:
    """A tar with busybox and these files; in order, the Dockerfile last."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(_entry(".", kind=tarfile.DIRTYPE))
        for name, data in {**(files or {}), "busybox": BUSYBOX(), path: dockerfile.encode()}.items():
            tar.addfile(_entry(name, len(data)), io.BytesIO(data))
    data = buffer.getvalue()
    return [data[at : at + 65536] for at in range(0, len(data), 65536)]


def big_context(dockerfile: str, size: int) -> Iterator[bytes]:
    """A context with a file of ``size`` bytes, made while it is sent."""
    end = context(dockerfile)
    yield _entry(".", kind=tarfile.DIRTYPE).tobuf()
    yield _entry("big", size).tobuf()
    for _ in range(size // BIG_PIECE):
        yield bytes(BIG_PIECE)
    yield from end


def _entry(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.size, entry.mode, entry.mtime = kind, size, 0o755, 1_700_000_000
    return entry
