"""A change of an app's gate comes true in Varnish at once: no deploy, no failed request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gitship.deploy.drain import Drainer
from gitship.deploy.gates import gate_of, store_gate
from gitship.deploy.switch import ensure_front
from gitship.deploy.wanted import Wanted
from gitship.front.front import Front
from gitship.front.gate import Gate
from gitship.store import Store


class Gatekeeper:
    """Safe from any thread, also beside deploys of the same app."""

    def __init__(self, store: Store, front: Front, drainer: Drainer, drain_limit_s: float, domain: str) -> None:
        self._wanted = Wanted(store, domain)
        self._store = store
        self._front = front
        self._drainer = drainer
        self._drain_limit_s = drain_limit_s

    def change(self, app: str, change: Callable[[Gate], Gate]) -> Gate:
        """See ``Gates.change``."""
        app_id = self._store.app(app).id
        with self._front.holding(app_id):
            before = gate_of(self._store, app_id)
            after = change(before)
            if after == before:
                return after
            store_gate(self._store, app_id, after)
            try:
                self._apply(app_id)
            except BaseException:
                store_gate(self._store, app_id, before)
                raise
            return after

    def keep(self, app: str, changes: Mapping[str, Any]) -> None:
        """Stores settings of the app (None unsets) that Varnish has to know of; they hold from the next request on.

        Raises NotFound, or FrontError when Varnish can't have them; then nothing has changed.
        """
        app_id = self._store.app(app).id
        with self._front.holding(app_id):
            before = {name: self._store.setting(app_id, name) for name in changes}
            if before == changes:
                return
            self._set(app_id, changes)
            try:
                self._apply(app_id)
            except BaseException:
                self._set(app_id, before)
                raise

    def _set(self, app_id: int, settings: Mapping[str, Any]) -> None:
        with self._store.transaction():
            for name, value in settings.items():
                self._store.set_setting(app_id, name, value)

    def apply_front(self, app: str) -> None:
        """Varnish does for the app what the store says now, with the same containers. Raises FrontError."""
        app_id = self._store.app(app).id
        with self._front.holding(app_id):
            self._apply(app_id)

    def _apply(self, app_id: int) -> None:
        app = self._store.app_by_id(app_id)
        ensure_front(self._front)
        new = self._front.load(self._wanted.front(app))
        try:
            old = self._front.label(app.slug, new)
        except BaseException:
            self._front.discard(new)
            raise
        if old is not None:
            self._drainer.start(app, [old], [], self._drain_limit_s, lambda cut: None)
