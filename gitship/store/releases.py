"""Immutable releases."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

from gitship.errors import NotFound
from gitship.model import (
    Check,
    CronEntry,
    DeployState,
    Mount,
    Overlap,
    Process,
    Release,
)
from gitship.store.database import Database

_RELEASE = (
    "id, app_id, number, commit_sha, image_id, image_bytes, config, processes, cron, cause, created_by, created_at,"
    " cache"
)


class ReleaseRecords(Database):
    """Immutable releases."""

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
        cron: Iterable[CronEntry] = (),
        manifest: Mapping[str, Any] | None = None,
        cache: Mapping[str, Any] | None = None,
    ) -> Release:
        """A new immutable release with the app's next number (numbers are never used again).

        ``manifest`` is what it was made from, when that is not the commit in the app's own repository.
        """
        with self.transaction() as db:
            last = db.execute("SELECT max(number) FROM releases WHERE app_id = ?", (app_id,)).fetchone()[0] or 0
            cursor = db.execute(
                "INSERT INTO releases (app_id, number, commit_sha, image_id, image_bytes, config, processes, cron,"
                " cause, created_by, created_at, manifest, cache) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    app_id, last + 1, commit, image_id, image_bytes, json.dumps(dict(config)),
                    json.dumps([dataclasses.asdict(p) for p in processes]),
                    json.dumps([dataclasses.asdict(e) for e in cron]), cause, created_by, time.time(),
                    None if manifest is None else json.dumps(manifest), json.dumps(dict(cache or {})),
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

    def release_manifest(self, release_id: int) -> dict[str, Any] | None:
        """What the release was made with as ``manifest``."""
        row = self._row("SELECT manifest FROM releases WHERE id = ?", release_id)
        return json.loads(row[0]) if row and row[0] is not None else None

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

    def apps_of_image(self, image_id: str) -> set[int]:
        """Ids of the apps that have a release of it, live or not."""
        return {app_id for (app_id,) in self._rows("SELECT app_id FROM releases WHERE image_id = ?", image_id)}

    def good_releases(self, app_id: int) -> list[Release]:
        """Those that have been live, newest first."""
        rows = self._rows(
            f"SELECT {_RELEASE} FROM releases WHERE app_id = ? AND id IN (SELECT release_id FROM deploys"
            " WHERE app_id = ? AND state IN (?, ?)) ORDER BY number DESC",
            app_id, app_id, DeployState.DRAINING, DeployState.LIVE,
        )  # fmt: skip
        return [_release(row) for row in rows]

    def release_before(self, release: Release) -> Release | None:
        """What was live before it; None for the first. A release that failed is nobody's measure."""
        return next((r for r in self.good_releases(release.app_id) if r.number < release.number), None)


def _release(row: Any) -> Release:
    *head, config, processes, cron, cause, created_by, created_at, cache = row
    id_, app_id, number, commit, image_id, image_bytes = head
    parsed = tuple(_process(p) for p in json.loads(processes))
    return Release(
        id_, app_id, number, commit, image_id, image_bytes, json.loads(config), parsed, cause, created_by, created_at,
        tuple(cron_entry(e) for e in json.loads(cron)), json.loads(cache),
    )  # fmt: skip


def cron_entry(data: dict[str, Any]) -> CronEntry:
    """As ``dataclasses.asdict`` and JSON have left it."""
    return CronEntry(**{**data, "command": tuple(data["command"]), "overlap": Overlap(data["overlap"])})


def _process(data: dict[str, Any]) -> Process:
    checks = tuple(Check(**{**c, "command": tuple(c["command"])}) for c in data.pop("checks"))
    mounts = tuple(Mount(**m) for m in data.pop("mounts", ()))  # a release from before there were any has none
    command = data.pop("command")
    capabilities = tuple(data.pop("capabilities", ()))
    data.setdefault("entrypoint", True)  # of a release from before commands ran by themselves: it stays as it was
    return Process(
        checks=checks,
        mounts=mounts,
        capabilities=capabilities,
        command=None if command is None else tuple(command),
        **data,
    )
