"""Copies config, scale and settings of an app to a new one.

Domains stay where they are, and what containers have written, too.
"""

from __future__ import annotations

from typing import Any

from gitship.appfiles import overrides
from gitship.model import App
from gitship.routing import gate_settings
from gitship.store import Store

NAMES = (
    gate_settings.ALLOW,
    gate_settings.AUTH,
    gate_settings.MAINTENANCE,
    gate_settings.REDIRECTS,
    overrides.PORT,
    overrides.BUILT_CONTEXT,
)
FAMILIES = (overrides.CHECK, overrides.LIMIT, overrides.BUILD_ONLY)


def copy(store: Store, source: App, made: App, *, config: bool) -> None:
    if config:
        store.replace_config(made.id, store.config(source.id))
    store.set_scale(made.id, store.scale(source.id))
    if source.deploy_branch:
        store.set_deploy_branch(made.id, source.deploy_branch)
    for name, value in cloned(store.settings(source.id)).items():
        store.set_setting(made.id, name, value)


def cloned(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that a clone has, too: not what an app is at this moment (locked, stopped, being renamed)."""
    kept = {n: v for n, v in settings.items() if n in NAMES or n.startswith(FAMILIES)}
    if settings.get(overrides.SKIP_CHECKS) == overrides.ALWAYS:
        kept[overrides.SKIP_CHECKS] = overrides.ALWAYS
    return kept
