"""SQLite database: opening, migration, transactions."""

from __future__ import annotations

import secrets
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gitship.errors import GitshipError
from gitship.store import integrity
from gitship.store.database_copies import KEPT, DatabaseCopies
from gitship.store.migrations import MIGRATIONS

DISK_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}


@contextmanager
def _translated() -> Iterator[None]:
    """A disk without room is something that people can mend; what else SQLite says is a fault of this program."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in DISK_FULL:
            raise
        raise GitshipError(
            f"the disk of gitship's own data is full: {error}",
            "free some space: `server:cleanup --dry-run` shows what can be removed",
        ) from error


def _lost(path: Path) -> str:
    """That there is no database where there should be one, in words; empty when there is."""
    if not path.exists():
        return "gone"
    return "" if path.stat().st_size else "empty"


class Database:
    """Safe from any thread: one connection behind a lock, since every statement here takes well under a millisecond."""

    def __init__(self, path: Path, *, copies: int = KEPT) -> None:
        """Opens or creates the database (mode 0600) and keeps ``copies`` automatic copies of each kind beside it.

        Raises GitshipError when it is damaged, unusable or too new, or not there although copies of it are.
        """
        self.path = path
        self.before_writing: Callable[[], None] = lambda: None  # whoever watches over the disk's room sets it
        self.rights_changed: Callable[[], None] = lambda: None  # whoever ends what may not go on sets it
        self._rights_change = False  # in the transaction under way
        self.copies = DatabaseCopies(path, copies)
        path.parent.mkdir(parents=True, exist_ok=True)
        # A new one would take every site off the air: Varnish is told what the store knows.
        if (lost := _lost(path)) and self.copies.newest_whole():
            raise self._unusable(path, lost)
        path.touch(mode=0o600)
        self._lock = threading.RLock()
        try:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
            if wrong := integrity.problem(self._db):
                raise self._unusable(path, f"damaged: {wrong}")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")  # a reboot must not take back what a push was told
            self._db.execute("PRAGMA foreign_keys = ON")
            self._migrate(path)
        except sqlite3.OperationalError as error:  # no room, no permission, locked
            self._db.close()
            raise GitshipError(
                f"cannot use the database {path}: {error}", f"check the disk and the permissions of {path.parent}"
            ) from None
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise self._unusable(path, f"damaged: {error}") from None
        except GitshipError:
            self._db.close()
            raise

    def _unusable(self, path: Path, what: str) -> GitshipError:
        newest = self.copies.newest_whole()
        if newest is None:
            way = "restore a backup: gitship restore FILE --force"
        else:
            at = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(newest.at))
            way = f"restore the automatic copy of {at}: gitship restore --newest-copy"
        kept = " (the damaged one is kept)" if path.exists() else ""
        return GitshipError(f"the database {path} is {what}", f"{way}{kept}")

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def _migrate(self, path: Path) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > len(MIGRATIONS):
            raise GitshipError(
                f"{path} was written by a newer gitship (schema {version})", "install that version again"
            )
        if 0 < version < len(MIGRATIONS):
            self.copies.make(f"schema-{version}")
        if version < len(MIGRATIONS):  # all in one transaction: each is an fsync, and an upgrade is whole or not at all
            scripts = "; ".join(MIGRATIONS[version:])
            self._db.executescript(f"BEGIN; {scripts}; PRAGMA user_version = {len(MIGRATIONS)}; COMMIT;")

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, nestable; held for the shortest time."""
        with self._lock:
            if self._db.in_transaction:
                yield self._db
                return
            self.before_writing()
            with _translated():
                self._db.execute("BEGIN IMMEDIATE")
                self._rights_change = False
                try:
                    yield self._db
                    self._db.execute("COMMIT")  # on a full disk this fails, too, and leaves the transaction open
                except BaseException:
                    if self._db.in_transaction:  # SQLite itself has rolled back some failures
                        self._db.execute("ROLLBACK")
                    raise
            changed = self._rights_change
        if changed:
            self.rights_changed()

    def _change_rights(self) -> None:
        """Within a transaction: once it is true, ``rights_changed`` is called."""
        self._rights_change = True

    def _rows(self, sql: str, *values: Any) -> list[Any]:
        with self._lock, _translated():
            return self._db.execute(sql, values).fetchall()

    def _row(self, sql: str, *values: Any) -> Any | None:
        rows = self._rows(sql, *values)
        return rows[0] if rows else None

    @contextmanager
    def frozen(self) -> Iterator[sqlite3.Connection]:
        """A reader of its own, to be used by this thread, that goes on seeing the state of when the block began."""
        with integrity.opened(self.path) as reader:
            reader.isolation_level = None
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM meta").fetchone()  # the state is taken by the first look
            yield reader

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
