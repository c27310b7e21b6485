"""Checks backups: each service has a schedule, and each schedule a backup that was verified lately."""

from __future__ import annotations

import time
from collections.abc import Iterator

from gitship.config import Settings
from gitship.doctor.report import Finding, Look, ok, warn
from gitship.model.backups import BEHIND_S
from gitship.services.engine_catalog import EngineCatalog
from gitship.services.overdue import INTERVALS, interval_s
from gitship.store import integrity

_SCHEDULES = """
    SELECT CASE s.subject WHEN 'service' THEN (SELECT name FROM services WHERE id = s.owner)
        WHEN 'volume' THEN (SELECT name FROM apps WHERE id = s.owner) || '/' || s.volume ELSE s.subject END AS subject,
        t.name, s.schedule, s.created_at, (SELECT max(started_at) FROM backups b WHERE b.subject = s.subject
        AND b.owner = s.owner AND b.volume = s.volume AND b.target_id = s.target_id AND b.state = 'verified')
    FROM backup_schedules s JOIN backup_targets t ON t.id = s.target_id ORDER BY 1, 2
"""
_WAL = """
    SELECT service, seen_at, opened_at, reason, EXISTS (SELECT 1 FROM backups b
        WHERE b.archive_id = a.id AND b.as_of IS NOT NULL AND b.state = 'verified')
    FROM wal_archives a WHERE closed_at IS NULL ORDER BY service
"""
_WITHOUT = """
    SELECT name, engine FROM services
    WHERE id NOT IN (SELECT owner FROM backup_schedules WHERE subject = 'service') ORDER BY name
"""


def service_backups(settings: Settings) -> Iterator[Finding]:
    """Read without a lock that the running server would feel."""
    if not settings.database.exists():
        return
    with integrity.opened(settings.database) as db:
        if not integrity.has(db, "backups"):
            return  # of a gitship that has not been started since its upgrade
        archives = db.execute(_WAL).fetchall() if integrity.has(db, "wal_archives") else []
        schedules, without = db.execute(_SCHEDULES).fetchall(), db.execute(_WITHOUT).fetchall()
    now = time.time()
    for service, target, schedule, created_at, verified_at in schedules:
        since = created_at if verified_at is None else verified_at
        age = f"{(now - since) / 3600:.0f} h"
        if now - since > INTERVALS * interval_s(schedule, settings.cron.timezone, now):
            what = f"the newest verified backup at {target} is {age} old" if verified_at else "none was ever verified"
            yield warn(
                "backups", f"{service}: {what}, with the schedule '{schedule}'",
                f"see why: backups:list {service}; then: backups:run {service} --target {target}",
            )  # fmt: skip
        elif verified_at is not None:
            yield ok("backups", f"{service}: verified backup at {target}, {age} old")
    for service, seen_at, opened_at, reason, based in archives:
        late_s = now - (seen_at or opened_at)
        if late_s > BEHIND_S:
            why = f": {reason}" if reason else ""
            late = f"{service}: no WAL at its target for {late_s / 60:.0f} min{why}"
            yield warn("backups", late, f"see: backups:times {service}")
        elif not based and now - opened_at > BEHIND_S:
            yield warn("backups", f"{service}: no point in time since the last gap", f"see why: backups:list {service}")
        elif based:
            yield ok("backups", f"{service}: point in time up to a minute ago")
    engines = EngineCatalog.load(settings.engines_dir).engines
    for service, name in without:
        if name in engines and engines[name].dump is None:  # it keeps nothing that lasts
            continue
        yield warn(
            "backups", f"{service} has no schedule of backups",
            f"backups:schedule {service} '0 3 * * *'; first, if there is no target: backups:target:add",
        )  # fmt: skip


LOOKS: tuple[tuple[str, Look], ...] = (("backups", service_backups),)
