"""Integrity check of a database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path


def problem(db: sqlite3.Connection) -> str:
    """What is wrong, in a line; empty when nothing is. Reads every page.

    Raises sqlite3.OperationalError when it cannot be read at all.
    """
    try:
        [(said,)] = db.execute("PRAGMA quick_check(1)")
        if said != "ok":
            return " ".join(str(said).split())[:200]
        for table, _, parent, _ in db.execute("PRAGMA foreign_key_check"):
            return f"a row of {table} refers to one of {parent} that is not there"
    except sqlite3.OperationalError:  # it cannot be read now, which says nothing of what is in it
        raise
    except sqlite3.DatabaseError as error:
        return str(error)
    return ""


def problem_of(path: Path) -> str:
    """As ``problem``, of a file that is left as it is."""
    try:
        with opened(path) as db:
            return problem(db)
    except sqlite3.Error as error:
        return str(error)


def has(db: sqlite3.Connection, table: str) -> bool:
    """False before the start that brings it, after an upgrade."""
    return db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone() is not None


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """The database for reading alone, without a lock that whoever writes to it would feel. Raises sqlite3.Error."""
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5)) as db:
        yield db
