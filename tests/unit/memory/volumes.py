"""Volumes in memory: each is the archive that was last written to it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from gitship import tar
from gitship.engine import host_paths, volume_archive
from gitship.engine.timeouts import WaitInterrupted
from gitship.errors import EngineError
from gitship.model import Mount


class MemoryVolumes:
    """``broken`` fails the next write as a full disk would, when all has been read; ``in_use`` cannot be removed."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self.labels: dict[str, Mapping[str, str]] = {}
        self.in_use: set[str] = set()
        self.broken = False
        self.helping: set[str] = set()
        self.host_paths: list[Path] = []

    def make(self, name: str, labels: Mapping[str, str]) -> None:
        self.content.setdefault(name, tar.END)
        self.labels.setdefault(name, labels)

    def exists(self, name: str) -> bool:
        return name in self.content

    def remove(self, name: str) -> bool:
        if name in self.in_use:
            return False
        self.content.pop(name, None)
        self.labels.pop(name, None)
        return True

    def find(self, labels: Mapping[str, str]) -> dict[str, Mapping[str, str]]:
        return {name: own for name, own in self.labels.items() if labels.items() <= own.items()}

    def size_bytes(self, name: str) -> int | None:
        return len(self.content[name]) if name in self.content else None

    @contextmanager
    def read(self, name: str, labels: Mapping[str, str], gone: threading.Event) -> Iterator[Iterator[bytes]]:
        if gone.is_set():
            raise WaitInterrupted
        yield iter([self.content[name]])

    def write(self, name: str, chunks: Iterable[bytes], labels: Mapping[str, str], gone: threading.Event) -> None:
        self.content[name] = b"".join(volume_archive.inside(chunks, "."))
        if self.broken:
            raise EngineError("no space left on device")

    def host_path(self, path: str) -> str:
        return host_paths.resolved(path, self.host_paths)

    def ensure_usable(self, mount: Mount, beside: Sequence[Mount] = ()) -> None:
        if mount.host:
            self.host_path(mount.source)

    def helpers(self) -> set[str]:
        return self.helping
