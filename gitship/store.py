"""SQLite (WAL): the only place that reads or writes state. Small, typed, migrated by version."""

from __future__ import annotations

import dataclasses
import json
import secrets
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gitship.errors import Conflict, GitshipError, NotFound
from gitship.model import (
    App,
    Check,
    Container,
    Deploy,
    DeployKind,
    DeployState,
    Domain,
    Key,
    Process,
    Release,
    Role,
    StageTime,
)

# Each entry takes the schema one version further; never edit one that has been released.
MIGRATIONS = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE apps (
        id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, created_at REAL NOT NULL,
        deploy_branch TEXT, live_release INTEGER, network TEXT UNIQUE);
    CREATE TABLE scale (
        app_id INTEGER NOT NULL REFERENCES apps(id) ON DELETE CASCADE, process TEXT NOT NULL,
        quantity INTEGER NOT NULL, PRIMARY KEY (app_id, process));
    CREATE TABLE config (
        app_id INTEGER NOT NULL REFERENCES apps(id) ON DELETE CASCADE, name TEXT NOT NULL,
        value TEXT NOT NULL, PRIMARY KEY (app_id, name));
    CREATE TABLE domains (
        name TEXT PRIMARY KEY, app_id INTEGER NOT NULL REFERENCES apps(id) ON DELETE CASCADE);
    CREATE TABLE keys (
        id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, fingerprint TEXT NOT NULL UNIQUE,
        public_key TEXT NOT NULL, role TEXT NOT NULL, created_at REAL NOT NULL);
    CREATE TABLE releases (
        id INTEGER PRIMARY KEY AUTOINCREMENT, app_id INTEGER NOT NULL REFERENCES apps(id) ON DELETE CASCADE,
        number INTEGER NOT NULL, commit_sha TEXT, image_id TEXT NOT NULL, image_bytes INTEGER NOT NULL,
        config TEXT NOT NULL, processes TEXT NOT NULL, cause TEXT NOT NULL, created_by TEXT NOT NULL,
        created_at REAL NOT NULL, UNIQUE (app_id, number));
    CREATE TRIGGER releases_are_immutable BEFORE UPDATE ON releases
        BEGIN SELECT RAISE(ABORT, 'releases are immutable'); END;
    CREATE TABLE deploys (
        id INTEGER PRIMARY KEY AUTOINCREMENT, app_id INTEGER NOT NULL REFERENCES apps(id) ON DELETE CASCADE,
        kind TEXT NOT NULL, state TEXT NOT NULL, created_by TEXT NOT NULL, created_at REAL NOT NULL,
        cause TEXT NOT NULL DEFAULT '', commit_sha TEXT, ref TEXT, old_sha TEXT, release_id INTEGER, failed_stage TEXT,
        reason TEXT NOT NULL DEFAULT '', hint TEXT NOT NULL DEFAULT '', started_at REAL, finished_at REAL,
        stages TEXT NOT NULL DEFAULT '[]');
    CREATE INDEX deploys_by_app ON deploys (app_id, id);
    CREATE TABLE containers (
        name TEXT PRIMARY KEY, docker_id TEXT NOT NULL, app_id INTEGER NOT NULL REFERENCES apps(id) ON DELETE CASCADE,
        release_id INTEGER NOT NULL, process TEXT NOT NULL, idx INTEGER NOT NULL, address TEXT NOT NULL, port INTEGER);
    CREATE TABLE addresses (
        app_id INTEGER NOT NULL REFERENCES apps(id) ON DELETE CASCADE, address TEXT NOT NULL, owner TEXT NOT NULL,
        taken_at REAL NOT NULL, released_at REAL, PRIMARY KEY (app_id, address));
    """,
)

_APP = "id, name, created_at, deploy_branch, live_release, network"
_RELEASE = "id, app_id, number, commit_sha, image_id, image_bytes, config, processes, cause, created_by, created_at"
_DEPLOY = (
    "id, app_id, kind, state, created_by, created_at, cause, commit_sha, ref, old_sha, release_id, failed_stage,"
    " reason, hint, started_at, finished_at, stages"
)
_KEY = "id, name, fingerprint, public_key, role, created_at"


class Store:
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

    # -- apps

    def create_app(self, name: str) -> App:
        """Raises Conflict when the name is taken."""
        try:
            with self.transaction() as db:
                db.execute("INSERT INTO apps (name, created_at) VALUES (?, ?)", (name, time.time()))
        except sqlite3.IntegrityError:
            raise Conflict(f"app '{name}' exists already", "choose another name, or push to it") from None
        return self.app(name)

    def find_app(self, name: str) -> App | None:
        row = self._row(f"SELECT {_APP} FROM apps WHERE name = ?", name)
        return App(*row) if row else None

    def app(self, name: str) -> App:
        """Raises NotFound."""
        app = self.find_app(name)
        if app is None:
            raise NotFound(f"no app '{name}'", "see `apps:list`")
        return app

    def app_by_id(self, app_id: int) -> App:
        """Raises NotFound."""
        row = self._row(f"SELECT {_APP} FROM apps WHERE id = ?", app_id)
        if row is None:
            raise NotFound("the app is gone", "see `apps:list`")
        return App(*row)

    def apps(self) -> list[App]:
        return [App(*row) for row in self._rows(f"SELECT {_APP} FROM apps ORDER BY name")]

    def delete_app(self, app_id: int) -> None:
        with self.transaction() as db:
            db.execute("DELETE FROM apps WHERE id = ?", (app_id,))

    def set_deploy_branch(self, app_id: int, branch: str) -> None:
        with self.transaction() as db:
            db.execute("UPDATE apps SET deploy_branch = ? WHERE id = ?", (branch, app_id))

    def set_network(self, app_id: int, subnet: str) -> None:
        with self.transaction() as db:
            db.execute("UPDATE apps SET network = ? WHERE id = ?", (subnet, app_id))

    # -- scale and config: what the next release will have

    def scale(self, app_id: int) -> dict[str, int]:
        return dict(self._rows("SELECT process, quantity FROM scale WHERE app_id = ? ORDER BY process", app_id))

    def set_scale(self, app_id: int, quantities: Mapping[str, int]) -> None:
        with self.transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO scale VALUES (?, ?, ?)",
                [(app_id, p, n) for p, n in quantities.items()],
            )

    def config(self, app_id: int) -> dict[str, str]:
        return dict(self._rows("SELECT name, value FROM config WHERE app_id = ? ORDER BY name", app_id))

    def replace_config(self, app_id: int, values: Mapping[str, str]) -> None:
        with self.transaction() as db:
            db.execute("DELETE FROM config WHERE app_id = ?", (app_id,))
            db.executemany("INSERT INTO config VALUES (?, ?, ?)", [(app_id, n, v) for n, v in values.items()])

    # -- domains

    def domains(self, app_id: int | None = None) -> list[Domain]:
        if app_id is None:
            rows = self._rows("SELECT app_id, name FROM domains ORDER BY name")
        else:
            rows = self._rows("SELECT app_id, name FROM domains WHERE app_id = ? ORDER BY name", app_id)
        return [Domain(*row) for row in rows]

    def add_domain(self, app_id: int, name: str) -> None:
        """Raises Conflict when another app (or this one) has it."""
        try:
            with self.transaction() as db:
                db.execute("INSERT INTO domains (app_id, name) VALUES (?, ?)", (app_id, name))
        except sqlite3.IntegrityError:
            raise Conflict(f"domain '{name}' is taken already", "remove it from the app that has it first") from None

    def remove_domain(self, app_id: int, name: str) -> None:
        """Raises NotFound when the app does not have it."""
        with self.transaction() as db:
            if not db.execute("DELETE FROM domains WHERE app_id = ? AND name = ?", (app_id, name)).rowcount:
                raise NotFound(f"the app has no domain '{name}'", "see `domains:list`")

    # -- keys

    def keys(self) -> list[Key]:
        return [_key(row) for row in self._rows(f"SELECT {_KEY} FROM keys ORDER BY name")]

    def key_by_fingerprint(self, fingerprint: str) -> Key | None:
        row = self._row(f"SELECT {_KEY} FROM keys WHERE fingerprint = ?", fingerprint)
        return _key(row) if row else None

    def add_key(self, name: str, fingerprint: str, public_key: str, role: Role) -> Key:
        """Raises Conflict when the name or the key is there already."""
        try:
            with self.transaction() as db:
                db.execute(
                    "INSERT INTO keys (name, fingerprint, public_key, role, created_at) VALUES (?, ?, ?, ?, ?)",
                    (name, fingerprint, public_key, role, time.time()),
                )
        except sqlite3.IntegrityError as error:
            what = f"a key named '{name}'" if "name" in str(error) else f"the key {fingerprint}"
            raise Conflict(f"{what} is there already", "see `keys:list`; remove it first to replace it") from None
        return _key(self._row(f"SELECT {_KEY} FROM keys WHERE name = ?", name))

    def remove_key(self, name: str) -> None:
        """Raises NotFound."""
        with self.transaction() as db:
            if not db.execute("DELETE FROM keys WHERE name = ?", (name,)).rowcount:
                raise NotFound(f"no key named '{name}'", "see `keys:list`")

    # -- releases

    def create_release(
        self,
        app_id: int,
        *,
        commit: str | None,
        image_id: str,
        image_bytes: int,
        config: Mapping[str, str],
        processes: Iterable[Process],
        cause: str,
        created_by: str,
    ) -> Release:
        """A new immutable release with the app's next number (numbers are never used again)."""
        with self.transaction() as db:
            last = db.execute("SELECT max(number) FROM releases WHERE app_id = ?", (app_id,)).fetchone()[0] or 0
            cursor = db.execute(
                "INSERT INTO releases (app_id, number, commit_sha, image_id, image_bytes, config, processes, cause,"
                " created_by, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    app_id, last + 1, commit, image_id, image_bytes, json.dumps(dict(config)),
                    json.dumps([dataclasses.asdict(p) for p in processes]), cause, created_by, time.time(),
                ),
            )  # fmt: skip
            release_id = cursor.lastrowid
        assert release_id is not None
        return self.release(release_id)

    def release(self, release_id: int) -> Release:
        """Raises NotFound."""
        row = self._row(f"SELECT {_RELEASE} FROM releases WHERE id = ?", release_id)
        if row is None:
            raise NotFound("no such release", "see `releases:list`")
        return _release(row)

    def release_number(self, app_id: int, number: int) -> Release:
        """Raises NotFound."""
        row = self._row(f"SELECT {_RELEASE} FROM releases WHERE app_id = ? AND number = ?", app_id, number)
        if row is None:
            raise NotFound(f"no release v{number}", "see `releases:list`")
        return _release(row)

    def releases(self, app_id: int) -> list[Release]:
        """Newest first."""
        return [
            _release(r)
            for r in self._rows(f"SELECT {_RELEASE} FROM releases WHERE app_id = ? ORDER BY number DESC", app_id)
        ]

    def good_releases(self, app_id: int) -> list[Release]:
        """Those that have been live, newest first."""
        rows = self._rows(
            f"SELECT {_RELEASE} FROM releases WHERE app_id = ? AND id IN (SELECT release_id FROM deploys"
            " WHERE app_id = ? AND state IN (?, ?)) ORDER BY number DESC",
            app_id, app_id, DeployState.DRAINING, DeployState.LIVE,
        )  # fmt: skip
        return [_release(row) for row in rows]

    # -- what is live

    def set_live(self, app_id: int, release_id: int, containers: Iterable[Container]) -> None:
        """In one transaction: the release and exactly these containers are what visitors see from now on."""
        with self.transaction() as db:
            db.execute("UPDATE apps SET live_release = ? WHERE id = ?", (release_id, app_id))
            db.execute("DELETE FROM containers WHERE app_id = ?", (app_id,))
            db.executemany(
                "INSERT INTO containers (docker_id, name, app_id, release_id, process, idx, address, port)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [dataclasses.astuple(c) for c in containers],
            )

    def containers(self, app_id: int | None = None) -> list[Container]:
        where, values = ("", ()) if app_id is None else (" WHERE app_id = ?", (app_id,))
        sql = "SELECT docker_id, name, app_id, release_id, process, idx, address, port FROM containers"
        return [Container(*row) for row in self._rows(f"{sql}{where} ORDER BY app_id, process, idx", *values)]

    # -- addresses

    def take_address(self, app_id: int, candidates: Iterable[str], owner: str, quarantine_s: float) -> str | None:
        """The first candidate that is neither taken nor was released within ``quarantine_s``; else None."""
        now = time.time()
        with self.transaction() as db:
            rows = db.execute("SELECT address, released_at FROM addresses WHERE app_id = ?", (app_id,)).fetchall()
            blocked = {a for a, released in rows if released is None or now - released < quarantine_s}
            for address in candidates:
                if address not in blocked:
                    db.execute(
                        "INSERT OR REPLACE INTO addresses VALUES (?, ?, ?, ?, NULL)",
                        (app_id, address, owner, now),
                    )
                    return address
        return None

    def last_address(self, app_id: int) -> str | None:
        """The address taken last, so that the next one can follow it."""
        row = self._row("SELECT address FROM addresses WHERE app_id = ? ORDER BY taken_at DESC LIMIT 1", app_id)
        return str(row[0]) if row else None

    def release_address(self, app_id: int, owner: str) -> None:
        with self.transaction() as db:
            db.execute(
                "UPDATE addresses SET released_at = ? WHERE app_id = ? AND owner = ? AND released_at IS NULL",
                (time.time(), app_id, owner),
            )

    def addresses(self, app_id: int) -> dict[str, str]:
        """Taken addresses, by owner."""
        rows = self._rows("SELECT owner, address FROM addresses WHERE app_id = ? AND released_at IS NULL", app_id)
        return dict(rows)

    # -- deploys

    def create_deploy(
        self, app_id: int, kind: DeployKind, created_by: str, *,
        cause: str = "", commit: str | None = None, ref: str | None = None, old: str | None = None,
    ) -> Deploy:  # fmt: skip
        with self.transaction() as db:
            cursor = db.execute(
                "INSERT INTO deploys (app_id, kind, state, created_by, created_at, cause, commit_sha, ref, old_sha)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (app_id, kind, DeployState.RECEIVED, created_by, time.time(), cause, commit, ref, old),
            )
            deploy_id = cursor.lastrowid
        assert deploy_id is not None
        return self.deploy(deploy_id)

    def deploy(self, deploy_id: int) -> Deploy:
        """Raises NotFound."""
        row = self._row(f"SELECT {_DEPLOY} FROM deploys WHERE id = ?", deploy_id)
        if row is None:
            raise NotFound(f"no deploy {deploy_id}", "see `deploys:list`")
        return _deploy(row)

    def deploys(self, app_id: int, limit: int = 50) -> list[Deploy]:
        """Newest first."""
        return [
            _deploy(r)
            for r in self._rows(
                f"SELECT {_DEPLOY} FROM deploys WHERE app_id = ? ORDER BY id DESC LIMIT ?", app_id, limit
            )
        ]

    def unfinished_deploys(self) -> list[Deploy]:
        """Oldest first."""
        ended = [s for s in DeployState if s.ended]
        marks = ", ".join("?" * len(ended))
        return [
            _deploy(r)
            for r in self._rows(f"SELECT {_DEPLOY} FROM deploys WHERE state NOT IN ({marks}) ORDER BY id", *ended)
        ]

    def update_deploy(self, deploy: Deploy) -> None:
        """Writes everything that may change in a deploy's life."""
        stages = json.dumps([[s.stage, s.started_at, s.seconds] for s in deploy.stages])
        with self.transaction() as db:
            db.execute(
                "UPDATE deploys SET state = ?, old_sha = ?, release_id = ?, failed_stage = ?, reason = ?, hint = ?,"
                " started_at = ?, finished_at = ?, stages = ? WHERE id = ?",
                (
                    deploy.state, deploy.old, deploy.release_id, deploy.failed_stage, deploy.reason, deploy.hint,
                    deploy.started_at, deploy.finished_at, stages, deploy.id,
                ),
            )  # fmt: skip


def _key(row: Any) -> Key:
    id_, name, fingerprint, public_key, role, created_at = row
    return Key(id_, name, fingerprint, public_key, Role(role), created_at)


def _release(row: Any) -> Release:
    *head, config, processes, cause, created_by, created_at = row
    id_, app_id, number, commit, image_id, image_bytes = head
    parsed = tuple(_process(p) for p in json.loads(processes))
    return Release(
        id_, app_id, number, commit, image_id, image_bytes, json.loads(config), parsed, cause, created_by, created_at
    )


def _process(data: dict[str, Any]) -> Process:
    checks = tuple(Check(**{**c, "command": tuple(c["command"])}) for c in data.pop("checks"))
    command = data.pop("command")
    return Process(checks=checks, command=None if command is None else tuple(command), **data)


def _deploy(row: Any) -> Deploy:
    id_, app_id, kind, state, created_by, created_at, cause, commit, ref, old, *end = row
    release_id, failed_stage, reason, hint, started_at, finished_at, stages = end
    return Deploy(
        id=id_,
        app_id=app_id,
        kind=DeployKind(kind),
        state=DeployState(state),
        created_by=created_by,
        created_at=created_at,
        cause=cause,
        commit=commit,
        ref=ref,
        old=old,
        release_id=release_id,
        failed_stage=DeployState(failed_stage) if failed_stage else None,
        reason=reason,
        hint=hint,
        started_at=started_at,
        finished_at=finished_at,
        stages=tuple(StageTime(DeployState(s), at, seconds) for s, at, seconds in json.loads(stages)),
    )
