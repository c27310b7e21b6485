"""Domains of an app, and its URLs."""

from __future__ import annotations

from gitship.model import App, Identity
from gitship.operations.shared import Shared
from gitship.routing import hostnames, urls


class Domains:
    """Every method raises GitshipError (NotFound, Conflict, ...) with a hint."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._store = shared.store

    def add(self, app: App, domain: str, by: Identity) -> None:
        with self._store.acting(app, by) as found:  # no app gets that name meanwhile
            hostnames.ensure_addable(self._store, self._shared.settings, found, domain)
            self._store.add_domain(found.id, domain)
        self._shared.publish_hosts(found)

    def remove(self, app: App, domain: str, by: Identity) -> None:
        with self._store.acting(app, by) as found:
            self._store.remove_domain(found.id, domain)
        self._shared.publish_hosts(found)

    def urls(self, app: App) -> list[str]:
        """Where the app answers, best address first."""
        return urls.urls(self._store, self._shared.settings, app, self._shared.front.address.port)
