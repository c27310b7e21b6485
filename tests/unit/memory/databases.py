"""Databases of tests: copies of one that was made by all migrations, and never synced. 2 ms each in place of 90."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gitship.store import Store
from gitship.store.database import Database
from gitship.store.database_copies import KEPT, DatabaseCopies


class QuickDatabases:
    """A database that is there already is opened as gitship opens it, with all that it checks and migrates."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._empty = directory / "empty.db"
        self._as_gitship_does = Database.__init__
        Store(self._empty).close()

    @contextmanager
    def used(self) -> Iterator[QuickDatabases]:
        def opened(database: Database, path: Path, *, copies: int = KEPT) -> None:
            if not path.exists() and not DatabaseCopies(path, copies).all():
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(self._empty, path)
            self._as_gitship_does(database, path, copies=copies)
            database._db.execute("PRAGMA synchronous = OFF")  # no test takes the power away

        Database.__init__ = opened  # type: ignore[method-assign, assignment]
        try:
            yield self
        finally:
            Database.__init__ = self._as_gitship_does  # type: ignore[method-assign]

    @contextmanager
    def unused(self) -> Iterator[None]:
        """For tests of how a database is made."""
        quick = Database.__init__
        Database.__init__ = self._as_gitship_does  # type: ignore[method-assign]
        try:
            yield
        finally:
            Database.__init__ = quick  # type: ignore[method-assign]
