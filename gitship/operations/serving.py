"""Cache, purge and error page of an app."""

from __future__ import annotations

from gitship.appfiles import cache_rules
from gitship.appfiles.cache_rules import CacheRuleInUse
from gitship.appsettings import BEFORE, CACHE, ERROR_PAGE
from gitship.front.cache_settings import Purge
from gitship.model import App, Identity
from gitship.operations.shared import Shared
from gitship.routing.access_control import AccessControl
from gitship.routing.desired_state import owner
from gitship.store.settings import Changes


class Serving:
    """Every method raises GitshipError (NotFound, FrontError, ...) with a hint, and then nothing has changed."""

    def __init__(self, shared: Shared, gates: AccessControl) -> None:
        self._store = shared.store
        self._front = shared.front
        self._gates = gates

    # -- changing: from the next request on

    def change_rules(self, app: App, changes: Changes, by: Identity) -> None:
        """Rules of the cache by the fields of ``CacheSettings``; None: gitship.toml counts again."""
        self._gates.keep(app, CACHE.to(changes), by)

    def set_error_page(self, app: App, page: str | None, by: Identity) -> None:
        """HTML for when the app does not answer; None: gitship's own."""
        self._gates.keep(app, ERROR_PAGE.to(page), by)

    def purge(self, app: App, purge: Purge, by: Identity) -> None:
        """All releases of the app forget what fits."""
        self._front.purge(owner(self._store.confirm(app, by)), purge)

    # -- looking

    def rules(self, app: App) -> list[CacheRuleInUse]:
        """Of the live release; before the first one, those set by command."""
        of_release = self._store.release(app.live_release).cache if app.live_release else {}
        return cache_rules.in_use(of_release, self._store.app_settings(app.id))

    def files_until(self, app: App) -> float | None:
        """Until when files of the release before are served (epoch seconds); None when there is none."""
        before = self._store.setting(app.id, BEFORE)
        live = self._store.release(app.live_release) if app.live_release else None
        cache = cache_rules.cache(live.cache if live else {}, self._store.app_settings(app.id))
        return before.since + cache.assets_for_s if before and cache.assets_for_s else None

    def error_page(self, app: App) -> str | None:
        return self._store.setting(app.id, ERROR_PAGE)
