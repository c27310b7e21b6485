"""Checks that Docker still has the images of live releases and rollback targets."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator

from gitship.config import Settings
from gitship.disk.image_store import WAY_BACK, listed, missing
from gitship.doctor.report import Finding, Look, fail, ok, warn
from gitship.engine.docker import DockerEngine
from gitship.store import integrity
from gitship.store.image_stores import KnownImageStore, parsed

# The live release of each app, and the one before it that was live, which `releases:rollback` takes.
_LIVE = """
SELECT apps.name || ' v' || releases.number, image_id FROM releases JOIN apps ON live_release = releases.id
"""
_BEFORE = """
SELECT apps.name || ' v' || max(number), image_id FROM releases JOIN apps ON apps.id = app_id
WHERE live_release IS NOT NULL AND releases.id <> live_release
AND releases.id IN (SELECT release_id FROM deploys WHERE state IN ('draining', 'live'))
AND number < (SELECT number FROM releases AS live WHERE live.id = live_release) GROUP BY apps.id
"""
_STORE = "SELECT value FROM meta WHERE key = 'image_store'"


def images(settings: Settings) -> Iterator[Finding]:
    if not settings.database.exists():
        return
    with integrity.opened(settings.database) as db:
        live, before, known = _read(db)
    images = DockerEngine(settings.docker.host).images
    lost_live, lost_before = missing(images, live), missing(images, before)
    moved = _moved(known, images.store())
    if not lost_live and not lost_before:
        releases = f"{len(live)} live release{'' if len(live) == 1 else 's'}"
        yield ok("images", f"those of {releases} are there, and those to roll back to")
        return
    lost = listed(lost_live + lost_before)
    text = (
        f"{moved}: the images of {lost} are not there" if moved else f"the images of {lost} no longer exist in Docker"
    )
    consequence = "their containers cannot be started again" if lost_live else "rollbacks to them fail"
    fix = WAY_BACK if moved else "build them again: ps:rebuild APP; to go back: git:deploy APP COMMIT --force"
    yield (fail if lost_live else warn)("images", f"{text}; {consequence}", fix)


def _read(db: sqlite3.Connection) -> tuple[list[tuple[str, str]], list[tuple[str, str]], KnownImageStore | None]:
    live, before = (list(db.execute(question)) for question in (_LIVE, _BEFORE))
    row = db.execute(_STORE).fetchone()
    return live, before, parsed(row[0]) if row else None


def _moved(known: KnownImageStore | None, name: str) -> str:
    """That Docker's image store is another than it was, in words; "" when it is not."""
    if known is None or (known.name == name and not known.before):
        return ""
    if known.name != name:  # gitship has not looked since
        return f"Docker keeps images in {name}, and kept them in {known.name} before"
    day = time.strftime("%Y-%m-%d", time.localtime(known.since))
    return f"Docker keeps images in {name} since {day}, and kept them in {known.before} before"


LOOKS: tuple[tuple[str, Look], ...] = (("images", images),)
