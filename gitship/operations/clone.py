"""A second app like a first: repository, config, scale and settings, then live with the same image.

``ServerOperations.cloning``. Domains stay where they are, and what containers have written, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gitship.appfiles import overrides
from gitship.deploy.rename import AppRename
from gitship.git.copy_repository import prepared
from gitship.git.repository import Repositories
from gitship.model import App, Deploy, DeployKind, Identity, app_name
from gitship.operations.sources import Deploying
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


class Cloning:
    """``made`` is called with each new app, once it is there."""

    def __init__(
        self,
        store: Store,
        repositories: Repositories,
        renaming: AppRename,
        deploy: Deploying,
        made: Callable[[App], None],
    ) -> None:
        self._store = store
        self._repositories = repositories
        self._renaming = renaming
        self._deploy = deploy
        self._made = made

    def clone(self, app: App, new: str, by: Identity, *, config: bool = True, deploy: bool = True) -> Deploy | None:
        """None when nothing is to be deployed. Raises NotFound, Conflict or GitError; then there is no new app."""
        source = self._store.confirm(app, by)
        self._renaming.ensure_free(app_name(new))
        with prepared(self._repositories, source.name) as repository, self._store.acting_for_all(by):
            source = self._store.confirm(app, by)
            self._renaming.ensure_free(new)
            made = self._store.create_app(new, by.key_id)
            self._copy(source, made, config=config)
            # last: a server that is killed here leaves a repository without an app, which `adopt` clears away
            self._repositories.adopt(repository, new)
        self._made(made)
        if not deploy or source.live_release is None:
            return None
        live = self._store.release(source.live_release)
        cause = f"{source.name} {live.label}"
        return self._deploy(
            made, DeployKind.PROMOTE, by, cause=cause, commit=live.commit, release_id=live.id, source=source
        )

    def _copy(self, source: App, made: App, *, config: bool) -> None:
        if config:
            self._store.replace_config(made.id, self._store.config(source.id))
        self._store.set_scale(made.id, self._store.scale(source.id))
        if source.deploy_branch:
            self._store.set_deploy_branch(made.id, source.deploy_branch)
        for name, value in cloned(self._store.settings(source.id)).items():
            self._store.set_setting(made.id, name, value)


def cloned(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that a clone has, too: not what an app is at this moment (locked, stopped, being renamed)."""
    kept = {n: v for n, v in settings.items() if n in NAMES or n.startswith(FAMILIES)}
    if settings.get(overrides.SKIP_CHECKS) == overrides.ALWAYS:
        kept[overrides.SKIP_CHECKS] = overrides.ALWAYS
    return kept
