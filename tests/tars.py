"""Tar archives made in memory."""

from __future__ import annotations

import io
import tarfile


def tar_of(**files: bytes) -> bytes:
    """An archive of these files; names that are no words: ``tar_of(**{"a.txt": b""})``."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return made.getvalue()
