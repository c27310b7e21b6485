"""Archive of ended containers' logs: their last lines, compressed.

Docker removes a container's log with the container, so it is kept between the two. A file is whole or not there;
a gitship that is killed in between finds the container still there, and keeps its log when it retires it again.
"""

from __future__ import annotations

import gzip
import logging
import re
import threading
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gitship.engine.interface import Engine
from gitship.engine.types import LogLine
from gitship.errors import GitshipError, NotFound
from gitship.logs import directories
from gitship.model import App, Container
from gitship.store import Store

log = logging.getLogger("gitship.logs")

MOST_LINES = 10_000  # of a container, its last ones
MOST_BYTES = 5 << 20  # of these, before they are compressed
MOST_FILES = 200  # of an app
MOST_KEPT_BYTES = 50 << 20  # of an app, compressed
LIMIT_S = 20.0  # of reading one; 10,000 lines take 0.16 s
DIRECTORY = "releases"
_UNFINISHED = ".keeping-"  # no app's name begins with a dot
_FILE = re.compile(r"v([0-9]+)\.([A-Za-z0-9_-]+)\.([0-9]+)\.[0-9]+-([0-9a-f]+)\.log\.gz")
_MARKS = {"stdout": "o", "stderr": "e"}
_STREAMS = {mark: stream for stream, mark in _MARKS.items()}


@dataclass(frozen=True, slots=True)
class ArchivedLog:
    """The file of a container."""

    path: Path
    release: int
    process: str
    index: int
    container_id: str
    at: float
    size_bytes: int

    def lines(self, app: App) -> Iterator[LogLine]:
        """Oldest first; what a damaged file has before the damage."""
        name = f"{app.name}.{self.process}.{self.index}.v{self.release}"
        damages = (OSError, EOFError, zlib.error, ValueError, KeyError)
        with suppress(*damages), gzip.open(self.path, "rt", encoding="utf-8", newline="\n") as file:
            for row in file:
                at, stream, text = row.rstrip("\n").split(" ", 2)
                yield LogLine(name, float(at), _STREAMS[stream], text)


class LogArchive:
    """Safe from any thread."""

    def __init__(self, store: Store, engine: Engine, logs: Path, keep_releases: int) -> None:
        """``logs`` is the directory of all apps' logs; those of the newest ``keep_releases`` releases are kept."""
        self._store = store
        self._engine = engine
        self._logs = logs
        self._keep_releases = keep_releases

    def sweep(self) -> None:
        """Removes what a gitship that was killed had not finished."""
        for path in self._logs.glob(f"{_UNFINISHED}*"):
            path.unlink(missing_ok=True)

    def keep(self, container: Container) -> None:
        """Keeps the log of a container that is about to be removed.

        Never raises and takes LIMIT_S at most: neither a full disk nor an unreadable log may keep the container.
        """
        late = threading.Event()
        timer = threading.Timer(LIMIT_S, late.set)
        timer.name, timer.daemon = f"keep-{container.name}", True
        timer.start()
        try:
            data = _packed(self._engine.logs(container.id, tail=MOST_LINES, stop=late))
            self._write(container, data)
        except NotFound:
            return  # the container or the app is gone
        except (GitshipError, OSError) as error:
            log.warning("the log of %s is not kept: %s", container.name, error)
        finally:
            timer.cancel()

    def of_release(self, app: App, number: int) -> list[ArchivedLog]:
        """Oldest first."""
        return sorted((k for k in self._kept(app) if k.release == number), key=lambda kept: kept.at)

    def of_container(self, app: App, container_id: str) -> ArchivedLog | None:
        """That of one container, if it is kept."""
        return next((kept for kept in self._kept(app) if kept.container_id == container_id[:12]), None)

    def releases(self, app: App) -> list[int]:
        """Numbers of the releases of which a log is kept, newest first."""
        return sorted({kept.release for kept in self._kept(app)}, reverse=True)

    def _kept(self, app: App) -> list[ArchivedLog]:
        return _files(self._directory(app.id))

    def _directory(self, app_id: int) -> Path:
        return directories.directory(self._logs, app_id) / DIRECTORY

    def _write(self, container: Container, data: bytes) -> None:
        _, process, index, release = container.name.rsplit(".", 3)
        name = f"{release}.{process}.{index}.{container.app_id}-{container.id[:12]}.log.gz"
        self._logs.mkdir(parents=True, exist_ok=True)
        unfinished = self._logs / f"{_UNFINISHED}{container.id[:12]}"
        try:
            unfinished.touch(mode=0o600)
            unfinished.write_bytes(data)
            with self._store.transaction():  # who destroys the app removes the directory after the record
                app = self._store.app_by_id(container.app_id)
                directory = self._directory(app.id)
                directory.mkdir(parents=True, exist_ok=True)
                unfinished.rename(directory / name)
            self._trim(app)
        finally:
            unfinished.unlink(missing_ok=True)

    def _trim(self, app: App) -> None:
        directory = self._directory(app.id)
        newest = self.releases(app)[: self._keep_releases]
        room = MOST_KEPT_BYTES
        for number, kept in enumerate(sorted(_files(directory), key=lambda kept: kept.at, reverse=True)):
            room -= kept.size_bytes
            if kept.release not in newest or room < 0 or number >= MOST_FILES:
                kept.path.unlink(missing_ok=True)


def _files(directory: Path) -> list[ArchivedLog]:
    found = []
    for path in directory.iterdir() if directory.is_dir() else ():
        match = _FILE.fullmatch(path.name)
        with suppress(FileNotFoundError):  # another thread trims
            if match:
                release, process, index, container_id = match.groups()
                stat = path.stat()
                found.append(
                    ArchivedLog(path, int(release), process, int(index), container_id, stat.st_mtime, stat.st_size)
                )
    return found


def _packed(lines: Iterable[LogLine]) -> bytes:
    """The last MOST_BYTES, a row a line: time, stream, text."""
    rows: deque[bytes] = deque()
    size = 0
    for line in lines:
        rows.append(f"{line.at:.9f} {_MARKS[line.stream]} {line.text}\n".encode("utf-8", "replace"))
        size += len(rows[-1])
        while size > MOST_BYTES:
            size -= len(rows.popleft())
    return gzip.compress(b"".join(rows))
