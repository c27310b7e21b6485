"""Where a push's objects wait until everything has agreed to them: a directory beside the store, gone in any case."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
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
        for source in self._files():
            target = self.objects / source.relative_to(self.path)
            target.parent.mkdir(exist_ok=True)
            source.replace(target)

    def _files(self) -> Iterator[Path]:
        packs = [file for file in (self.path / "pack").iterdir() if file.name.startswith("pack-")]
        yield from sorted(packs, key=lambda file: _LAST.index(file.suffix) if file.suffix in _LAST else -1)
        for directory in self.path.iterdir():
            if len(directory.name) == 2:
                yield from (file for file in directory.iterdir() if len(file.name) == 38)
