"""Directories, keys and the database: there, closed to others, and with an admin who can log in."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from gitship.config import Settings
from gitship.doctor.report import Finding, Look, fail, ok, warn
from gitship.front.varnishd import check_reachable


def directories(settings: Settings) -> Iterator[Finding]:
    if not settings.data_dir.is_dir():
        yield fail("data", f"{settings.data_dir} does not exist", "run `gitship init`")
        return
    check_reachable(settings.data_dir)
    yield ok("data", str(settings.data_dir))


def secrets(settings: Settings) -> Iterator[Finding]:
    """Files that nobody else may read."""
    closed = (settings.database, settings.host_key, settings.local_key)
    missing = [path for path in closed if not path.exists()]
    if missing:
        yield fail("files", f"missing: {', '.join(path.name for path in missing)}", "run `gitship init`")
    wide = [path for path in closed if path.exists() and _open_to_others(path)]
    for path in wide:
        yield fail("files", f"{path} can be read by others", f"chmod 600 {path}")
    if not missing and not wide:
        yield ok("files", "database and keys are closed to others")


def _open_to_others(path: Path) -> bool:
    return bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def database(settings: Settings) -> Iterator[Finding]:
    """Whole, and with an admin key. Read without a lock that the running server would feel."""
    if not settings.database.exists():
        return
    try:
        with closing(sqlite3.connect(f"file:{settings.database}?mode=ro", uri=True, timeout=5)) as db:
            [(integrity,)] = db.execute("PRAGMA quick_check(1)")
            [(admins,)] = db.execute("SELECT count(*) FROM keys WHERE role = 'admin'")
            [(keys,)] = db.execute("SELECT count(*) FROM keys")
    except sqlite3.Error as error:
        yield fail("database", f"{settings.database} cannot be read: {error}", "restore it from a backup")
        return
    if integrity != "ok":
        yield fail("database", f"damaged: {integrity}", "stop gitship and restore it from a backup")
    if not admins:
        yield warn("keys", "no admin key: nobody can log in", "gitship init --admin-key FILE.pub")
    else:
        yield ok("keys", f"{keys} may log in, {admins} as admin")


LOOKS: tuple[tuple[str, Look], ...] = (("data", directories), ("files", secrets), ("database", database))
