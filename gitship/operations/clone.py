"""Copies config, scale and settings of an app to a new one.

Domains stay where they are, and what containers have written, too.
"""

from __future__ import annotations

from gitship.appsettings import SKIP_CHECKS, Skip, declared
from gitship.model import App
from gitship.store import Store
from gitship.store.settings import AppSettings, Changes


def copy(store: Store, source: App, made: App, *, config: bool) -> None:
    if config:
        store.replace_config(made.id, store.config(source.id))
    store.set_scale(made.id, store.scale(source.id))
    if source.deploy_branch:
        store.set_deploy_branch(made.id, source.deploy_branch)
    store.change_settings(made.id, cloned(store.app_settings(source.id)))


def cloned(settings: AppSettings) -> Changes:
    """The settings that a clone has, too: not what an app is at this moment (locked, stopped, being renamed)."""
    once = settings.get(SKIP_CHECKS) is Skip.ONCE
    names = [one.name for one in declared(settings.values) if one.cloned and not (once and one == SKIP_CHECKS)]
    return settings.stored(names)
