"""Directories of app logs, by app id.

    logs/app_7/42.log                                   a deploy
    logs/app_7/shop.run.3.v12.log                       a detached one-off
    logs/app_7/cron/nightly/shop.run.cron-9.v12.log     a run of a cron entry
    logs/app_7/releases/v12.web.1.7-0123456789ab.log.gz a container that has ended

A rename moves nothing, and an id is not given again. Earlier versions had the app's name there (``bring_over``).
"""

from __future__ import annotations

import logging
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from gitship.appsettings import RENAMING
from gitship.model import App
from gitship.store import Store

log = logging.getLogger("gitship.logs")
COARSE_S = 0.1  # by which a file's time may be behind the clock's
_PREFIX = "app_"  # no app's name has an underscore
_DEPLOY = re.compile(r"([0-9]+)\.log")
_ENDED = re.compile(r"v[0-9]+\..+\.([0-9]+)-[0-9a-f]+\.log\.gz")


def directory(logs: Path, app_id: int) -> Path:
    """``logs`` is the directory of all apps' logs."""
    return logs / f"{_PREFIX}{app_id}"


def clear(logs: Path, app_id: int) -> None:
    """Removes all of them."""
    shutil.rmtree(directory(logs, app_id), ignore_errors=True)


def bring_over(logs: Path, store: Store) -> None:
    """Logs that an earlier version kept by the app's name come to where they are by its id.

    A file at a time, each by one rename: when gitship is killed in between, the next start goes on. What an earlier app
    of that name has left stays where nobody reads it, until it is removed by its age. What cannot be moved is logged.

    A database that was brought back from a copy gives ids again that later apps had: their logs are set aside first.
    """
    try:
        _set_aside(logs, store.last_app_id())
    except OSError as error:
        log.warning("logs of apps that this database does not know stay where they are: %s", error)
    for app in store.apps():
        try:
            _bring_over(logs, store, app)
        except OSError as error:
            log.warning("%s: logs of an earlier version stay where they are: %s", app.name, error)


def _set_aside(logs: Path, last_id: int) -> None:
    for place in logs.glob(f"{_PREFIX}*"):
        number = place.name.removeprefix(_PREFIX)
        if number.isdecimal() and int(number) > last_id:
            place.rename(logs / f"left_{number}_{time.time_ns()}")


def _bring_over(logs: Path, store: Store, app: App) -> None:
    source = logs / app.name
    new = store.setting(app.id, RENAMING)
    if new is not None and not source.exists():  # killed in a rename, between its last step and the store's commit
        source = logs / new
    if not source.is_dir():
        return
    deploys = {deploy.id for deploy in store.deploys(app.id, limit=-1)}
    for path in sorted(source.rglob("*")):
        target = directory(logs, app.id) / path.relative_to(source)
        if path.is_file() and _is_of(app, path, deploys) and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
    remove_empty(source)


def _is_of(app: App, path: Path, deploys: set[int]) -> bool:
    if match := _DEPLOY.fullmatch(path.name):
        return int(match[1]) in deploys
    if match := _ENDED.fullmatch(path.name):
        return int(match[1]) == app.id
    return path.stat().st_mtime >= app.created_at - COARSE_S  # of a run, whose name tells no more than the app's


def remove_empty(place: Path) -> None:
    """The directory and those below it, as far as there is no file in them."""
    for path in (*sorted((p for p in place.rglob("*") if p.is_dir()), reverse=True), place):
        with suppress(OSError):
            path.rmdir()


def all_of(logs: Path, store: Store) -> Iterator[tuple[Path, App | None]]:
    """Every directory of logs with its app, None for one that is gone.

    One by an app's name is what ``bring_over`` has left there: it counts as the app's, in case it can be moved yet.
    """
    apps = {name: app for app in store.apps() for name in (directory(logs, app.id).name, app.name)}
    for place in sorted(logs.iterdir()) if logs.is_dir() else ():
        if place.is_dir() and not place.name.startswith("."):
            yield place, apps.get(place.name)
