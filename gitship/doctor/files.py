"""Checks directories, keys and the database: existence, permissions, an admin key."""

from __future__ import annotations

import json
import sqlite3
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from gitship.backup.create import LAST as LAST_BACKUP
from gitship.config import Settings
from gitship.doctor.report import Finding, Look, fail, ok, warn
from gitship.front.varnishd import check_reachable
from gitship.reconcile.problems import TROUBLES
from gitship.store import integrity
from gitship.store.database_copies import DAY_S, DatabaseCopies

BRING_BACK = "stop gitship, then run: gitship restore --newest-copy"
OLD_COPY_S = 3 * DAY_S
OLD_BACKUP_S = 8 * DAY_S


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
    wide = [path for path in (*closed, settings.backup_key) if path.exists() and _open_to_others(path)]
    for path in wide:
        yield fail("files", f"{path} can be read by others", f"chmod 600 {path}")
    if not missing and not wide:
        yield ok("files", "database and keys are not readable by others")


_RECORDED = "SELECT max(started_at) FROM backups WHERE subject = 'server' AND state IN ('listed', 'verified')"


def _open_to_others(path: Path) -> bool:
    return bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def database(settings: Settings) -> Iterator[Finding]:
    """Whole, and with an admin key. Read without a lock that the running server would feel."""
    if not settings.database.exists():
        if DatabaseCopies(settings.database).all():
            yield fail("database", f"{settings.database} is gone", BRING_BACK)
        return
    try:
        with integrity.opened(settings.database) as db:
            wrong = integrity.problem(db)
            [(apps,)] = db.execute("SELECT count(*) FROM apps")
            backups = db.execute("SELECT value FROM server_settings WHERE name = ?", (LAST_BACKUP,)).fetchall()
            [(recorded,)] = db.execute(_RECORDED) if integrity.has(db, "backups") else [(None,)]
            troubles = db.execute("SELECT value FROM server_settings WHERE name = ?", (TROUBLES,)).fetchall()
            [(admins,)] = db.execute("SELECT count(*) FROM keys WHERE role = 'admin'")
            [(keys,)] = db.execute("SELECT count(*) FROM keys")
    except sqlite3.Error as error:
        yield fail("database", f"{settings.database} cannot be read: {error}", BRING_BACK)
        return
    if wrong:
        yield fail("database", f"damaged: {wrong}", BRING_BACK)
    else:
        yield from _copies(settings)
    if apps:
        by_hand = float(json.loads(backups[0][0])["at"]) if backups else 0.0
        yield _backup(max(by_hand, recorded or 0.0) or None, settings.ssh.listen.port)
    for app, text in json.loads(troubles[0][0]) if troubles else ():
        yield fail("apps", f"{app or 'what belongs to none'}: {text}", "see `server:reconcile`, and the server's log")
    if not admins:
        yield warn("keys", "no admin key: nobody can log in", "gitship init --admin-key FILE.pub")
    else:
        yield ok("keys", f"{keys} may log in, {admins} as admin")


def _backup(at: float | None, port: int) -> Finding:
    """The copies lie on the same disk: they are no backup."""
    fix = f"to a target: backups:schedule server @daily; by hand: ssh -p {port} deploy@HOST server:backup > gitship.tar"
    if at is None:
        return warn("backup", "no backup yet", fix)
    age = time.time() - at
    text = f"the latest is {age / DAY_S:.0f} days old" if age > 2 * DAY_S else f"the latest is {age / 3600:.0f} h old"
    return warn("backup", text, fix) if age > OLD_BACKUP_S else ok("backup", text)


def _copies(settings: Settings) -> Iterator[Finding]:
    """How old the newest automatic copy is; a server that never ran for a while has none yet."""
    found = DatabaseCopies(settings.database).all()
    if not found:
        yield ok("database", "whole; `gitship serve` makes its first automatic copy")
        return
    age = time.time() - found[0].at
    text = f"whole; {len(found)} automatic {'copy' if len(found) == 1 else 'copies'}, the newest {age / 3600:.0f} h old"
    if age > OLD_COPY_S:
        yield warn("database", text, "is `gitship serve` running? see its log for why it makes none")
    else:
        yield ok("database", text)


LOOKS: tuple[tuple[str, Look], ...] = (("data", directories), ("files", secrets), ("database", database))
