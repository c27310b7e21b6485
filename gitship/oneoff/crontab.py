"""Cron entries of an app: from its live release's files, and set by command.

An entry by command is the app's setting ``CRON``; it holds at once and through all deploys.
"""

from __future__ import annotations

import dataclasses

from gitship.appsettings import CRON, CRON_SUSPENDED
from gitship.model import App, CronEntry
from gitship.store import Store

COMMAND = "command"  # the source of an entry that a command has made
MOST_PER_APP = 100


def entries(store: Store, app: App) -> dict[str, CronEntry]:
    """By name, in order of the names."""
    settings = store.app_settings(app.id)
    found = {entry.name: entry for entry in store.release(app.live_release).cron} if app.live_release else {}
    found |= settings.all(CRON)
    return {name: _in_its_state(found[name], settings.get(CRON_SUSPENDED(name))) for name in sorted(found)}


def _in_its_state(entry: CronEntry, suspended: bool | None) -> CronEntry:
    return entry if suspended is None else dataclasses.replace(entry, suspended=suspended)
