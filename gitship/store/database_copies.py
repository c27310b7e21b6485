"""Automatic copies of the database: daily and before migrations.

Made by SQLite's own backup, which reads one state of the database whatever is written meanwhile. A copy is one file,
whole or not there.
"""

from __future__ import annotations

import calendar
import os
import re
import shutil
import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from gitship.errors import GitshipError
from gitship.store import integrity

DIRECTORY = "copies"
KEPT = 7  # of each kind, unless a setting says otherwise
DAILY = "daily"
DAY_S = 86_400.0
_NAME = re.compile(r"gitship-([0-9]{8}T[0-9]{6})Z(?:-[0-9]+)?-(daily|schema-[0-9]+)\.db")
_UNFINISHED = ".copying-"


@dataclass(frozen=True, slots=True)
class DatabaseCopy:
    """``why`` is ``daily``, or ``schema-7``: made before schema 7 became a newer one. ``at`` is epoch seconds."""

    path: Path
    why: str
    at: float

    @property
    def kind(self) -> str:
        return self.why.partition("-")[0]


class DatabaseCopies:
    """Of one database. Any process may look; only the server makes some."""

    def __init__(self, database: Path, keep: int = KEPT) -> None:
        """``keep`` copies of each kind are kept; with 0 none is made."""
        self._database = database
        self._keep = keep
        self.directory = database.parent / DIRECTORY

    def all(self) -> list[DatabaseCopy]:
        """Newest first."""
        found = []
        for path in self.directory.iterdir() if self.directory.is_dir() else ():
            if match := _NAME.fullmatch(path.name):
                found.append(DatabaseCopy(path, match[2], _epoch(match[1])))
        return sorted(found, key=lambda copy: (copy.at, copy.path.name), reverse=True)

    def newest_whole(self) -> DatabaseCopy | None:
        """The newest that passes the check that a damaged database fails."""
        return next((copy for copy in self.all() if not integrity.problem_of(copy.path)), None)

    def daily_is_due(self) -> bool:
        """True when the newest daily copy is a day old, or there is none. A clock that was set back makes one, too."""
        newest = next((copy for copy in self.all() if copy.kind == DAILY), None)
        return self._keep > 0 and (newest is None or not 0 <= time.time() - newest.at < DAY_S)

    def make(self, why: str) -> Path | None:
        """A new copy of the database as it is now; None with ``keep`` 0. Raises GitshipError, and nothing is left."""
        if self._keep < 1:
            return None
        try:
            self.directory.mkdir(mode=0o700, exist_ok=True)
            for left in self.directory.glob(f"{_UNFINISHED}*"):
                left.unlink(missing_ok=True)
            target = self._free_name(why)
            unfinished = self.directory / f"{_UNFINISHED}{target.name}"
            try:
                with integrity.opened(self._database) as source:
                    snapshot(source, unfinished)
                unfinished.rename(target)
            finally:
                unfinished.unlink(missing_ok=True)
        except (OSError, sqlite3.Error) as error:
            raise GitshipError(
                f"the database could not be copied to {self.directory}: {error}", "free some space on that disk"
            ) from error
        self._trim()
        return target

    def _free_name(self, why: str) -> Path:
        now = stamp()
        names = [f"gitship-{now}-{why}.db", *(f"gitship-{now}-{n}-{why}.db" for n in range(2, 100))]
        return next(path for name in names if not (path := self.directory / name).exists())

    def _trim(self) -> None:
        found = self.all()
        for kind in {copy.kind for copy in found}:
            for old in [copy for copy in found if copy.kind == kind][self._keep :]:
                old.path.unlink(missing_ok=True)

    def bring_back(self) -> tuple[DatabaseCopy, Path | None]:
        """The newest whole copy takes the database's place; that one is kept aside, if it is there: which copy, where.

        Only while no server runs. Raises GitshipError, and then nothing has changed.
        """
        newest = self.newest_whole()
        if newest is None:
            raise GitshipError(f"there is no intact copy in {self.directory}", "restore a backup: gitship restore FILE")
        aside = self._database.with_name(f"{self._database.name}.damaged-{stamp()}")
        fresh = self._database.with_name(f".{self._database.name}.fresh")
        try:
            shutil.copyfile(newest.path, fresh)
            fresh.chmod(0o600)
            _flush(fresh)
            for ending in ("", "-wal", "-shm"):  # what had been written to the old one belongs to it alone
                with suppress(FileNotFoundError):
                    self._database.with_name(self._database.name + ending).rename(aside.with_name(aside.name + ending))
            fresh.rename(self._database)
        except OSError as error:
            raise GitshipError(f"the copy could not be restored: {error}", "free some space on that disk") from error
        finally:
            fresh.unlink(missing_ok=True)
        return newest, aside if aside.exists() else None


def snapshot(source: sqlite3.Connection, target: Path) -> None:
    """Writes the database that ``source`` sees into a new file (0600), flushed. Raises sqlite3.Error or OSError."""
    target.touch(mode=0o600, exist_ok=False)
    with closing(sqlite3.connect(target, isolation_level=None)) as copy:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, without a -wal beside it
    _flush(target)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def stamp() -> str:
    """Now, as it stands in the names of files."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())


def _epoch(text: str) -> float:
    return float(calendar.timegm(time.strptime(text, "%Y%m%dT%H%M%S")))
