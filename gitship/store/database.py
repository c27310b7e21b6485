"""The SQLite file: opened, migrated, and locked for one statement or one transaction at a time."""

from __future__ import annotations

import secrets
import sqlite3
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gitship.errors import GitshipError
from gitship.store.migrations import MIGRATIONS


class Database:
    """Safe from any thread: one connection behind a lock, since every statement here takes well under a millisecond."""

    def __init__(self, path: Path) -> None:
        """Opens or creates the database (mode 0600). Raises GitshipError when it is unusable or too new."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        self._lock = threading.RLock()
        try:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")  # a reboot must not take back what a push was told
            self._db.execute("PRAGMA foreign_keys = ON")
            self._migrate(path)
        except sqlite3.DatabaseError as error:
            raise GitshipError(
                f"cannot use the database {path}: {error}",
                "restore it from a backup, or move it away to start empty",
            ) from None

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def _migrate(self, path: Path) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > len(MIGRATIONS):
            raise GitshipError(
                f"{path} was written by a newer gitship (schema {version})", "install that version again"
            )
        for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
            self._db.executescript(f"BEGIN; {script}; PRAGMA user_version = {number}; COMMIT;")

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, nestable; held for the shortest time."""
        with self._lock:
            if self._db.in_transaction:
                yield self._db
                return
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _rows(self, sql: str, *values: Any) -> list[Any]:
        with self._lock:
            return self._db.execute(sql, values).fetchall()

    def _row(self, sql: str, *values: Any) -> Any | None:
        rows = self._rows(sql, *values)
        return rows[0] if rows else None

    # -- the server itself

    def server_id(self) -> str:
        """This installation's own id, made once; labels what it creates in Docker."""
        with self.transaction() as db:
            db.execute("INSERT OR IGNORE INTO meta VALUES ('server_id', ?)", (uuid.uuid4().hex[:12],))
            return str(db.execute("SELECT value FROM meta WHERE key = 'server_id'").fetchone()[0])

    def secret(self) -> bytes:
        """32 random bytes of this installation, made once; never leave the server."""
        with self.transaction() as db:
            db.execute("INSERT OR IGNORE INTO meta VALUES ('secret', ?)", (secrets.token_hex(32),))
            return bytes.fromhex(db.execute("SELECT value FROM meta WHERE key = 'secret'").fetchone()[0])
