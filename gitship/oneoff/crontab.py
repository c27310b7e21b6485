"""Cron entries of an app: from its live release's files, and set by command.

An entry by command is the app's setting ``cron.<name>``; it holds at once and through all deploys.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from gitship.model import App, CronEntry
from gitship.store import Store
from gitship.store.releases import cron_entry

ENTRY = "cron."  # + name: the entry's fields
STATE = "cron-suspended."  # + name: true or false, over what the entry itself says
COMMAND = "command"  # the source of an entry that a command has made
MOST_PER_APP = 100


def entries(store: Store, app: App) -> dict[str, CronEntry]:
    """By name, in order of the names."""
    settings = store.settings(app.id)
    found = {entry.name: entry for entry in store.release(app.live_release).cron} if app.live_release else {}
    for name, value in settings.items():
        if name.startswith(ENTRY):
            found[name.removeprefix(ENTRY)] = cron_entry(value)
    return {name: _in_its_state(found[name], settings.get(STATE + name)) for name in sorted(found)}


def stored(entry: CronEntry) -> dict[str, Any]:
    """As it is kept as a setting."""
    return dataclasses.asdict(entry)


def _in_its_state(entry: CronEntry, suspended: bool | None) -> CronEntry:
    return entry if suspended is None else dataclasses.replace(entry, suspended=suspended)
