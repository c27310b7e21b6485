"""Applies changes of an app's access settings to Varnish, without a deploy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from gitship.appsettings import DESTROYING
from gitship.config import Settings
from gitship.errors import FrontError
from gitship.front.front import AppFront, Front
from gitship.front.gate import Gate, HttpsRedirect
from gitship.model import STATUS_PAGE, WEB, App, Container, Identity
from gitship.routing.active_canaries import ActiveCanaries, ActiveCanary
from gitship.routing.desired_state import DesiredState
from gitship.routing.drain import Drainer, DrainLimits
from gitship.routing.gate_settings import gate_of, status_https, store_gate, store_status_https
from gitship.routing.status_page_route import status_front
from gitship.routing.switch import ensure_front
from gitship.store import Store
from gitship.store.settings import Changes

NOWHERE = Container("", "nowhere", 0, 0, WEB, 1, "127.0.0.1", 9)  # an app that never ran is compiled with this


class AccessControl:
    """Safe from any thread, also beside deploys of the same app."""

    def __init__(
        self,
        store: Store,
        front: Front,
        drainer: Drainer,
        drain_limit_s: float,
        wanted: DesiredState,
        settings: Settings,
        active_canaries: ActiveCanaries,
    ) -> None:
        self._wanted = wanted
        self._settings = settings
        self._canaries = active_canaries
        self._store = store
        self._front = front
        self._drainer = drainer
        self._drain_limit_s = drain_limit_s

    def change(self, app: App, change: Callable[[Gate], Gate], by: Identity) -> Gate:
        """Replaces the app's gate by what ``change`` makes of it, and gives it back; it holds from the next request on.

        Raises what ``change`` raises, NotFound, NoPermission, or FrontError when Varnish can't have it; then nothing
        has changed.
        """
        with self._front.holding(app.id):
            with self._store.acting(app, by):
                before = gate_of(self._store, app.id)
                after = change(before)
                if after == before:
                    return after
                store_gate(self._store, app.id, after)
            try:
                self.bring(app.id)
            except BaseException:
                store_gate(self._store, app.id, before)
                raise
            return after

    def change_status_page(self, https: HttpsRedirect | None) -> None:
        """The same for the status page: who comes by http to its host is sent on, or not any more."""
        with self._front.holding(STATUS_PAGE.id):
            before = status_https(self._store)
            if https == before:
                return
            store_status_https(self._store, https)
            try:
                self._bring_status_page()
            except BaseException:
                store_status_https(self._store, before)
                raise

    def _bring_status_page(self) -> None:
        wanted = status_front(self._store, self._settings)
        if wanted is None:  # nobody gets there by Varnish
            return
        ensure_front(self._front)
        old = self._front.label(wanted.slug, self._front.load(wanted))
        if old is not None:
            self._front.discard(old)  # a page's stream that is open goes on

    def keep(self, app: App, changes: Changes, by: Identity) -> None:
        """Stores settings of the app (None unsets) that Varnish has to know of; they hold from the next request on.

        Raises NotFound, NoPermission, or FrontError when Varnish can't have them; then nothing has changed.
        """
        with self._front.holding(app.id):
            with self._store.acting(app, by):
                before = self._store.app_settings(app.id).stored(changes)
                if before == changes:
                    return
                self._store.change_settings(app.id, changes)
            try:
                self.bring(app.id)
            except BaseException:
                self._store.change_settings(app.id, before)
                raise

    def try_vcl(self, app: App, vcl: str) -> None:
        """Compiles it as the app's own, and leaves everything as it is. Raises FrontError with the compiler's words."""
        found = self._store.app_by_id(app.id)
        ensure_front(self._front)
        gate = dataclasses.replace(gate_of(self._store, found.id), vcl=vcl)
        wanted = self._wanted.after(found, None, [NOWHERE], stopped=False, before=None)
        wanted = dataclasses.replace(wanted, gate=gate)
        self._front.discard(self._front.load(wanted))

    def ensure_rates(self) -> None:
        """Raises FrontError when the Varnish of this server cannot limit rates."""
        ensure_front(self._front)
        if not self._front.limits_rates():
            raise FrontError(
                "rate limits need Varnish's module vsthrottle, which is not installed",
                "ask an admin to run: apt-get install varnish-modules; then repeat the command",
            )

    def apply_front(self, app: App) -> None:
        """Varnish does for the app what the store says now, with the same containers. Raises FrontError."""
        with self._front.holding(app.id):
            self.bring(app.id)

    def bring(self, app_id: int) -> None:
        """The same for whoever holds the app. While it has a canary, both sides are brought."""
        app = self._store.app_by_id(app_id)
        if self._store.setting(app_id, DESTROYING) is not None:
            return  # it must not come back
        ensure_front(self._front)
        trial = self._canaries.of(app.id)
        wanted = self._wanted.front(app)
        canary = self.canary_front(app, trial) if trial is not None else None
        if trial is not None and canary is not None:
            wanted = dataclasses.replace(wanted, side=trial.rest(canary.cache_key))
        left: list[str | None] = []
        loaded = [self._front.load(wanted)]
        try:
            if canary is not None:
                loaded.append(self._front.load(canary))
                left.append(self._front.canaries.label(app.slug, loaded[1]))
            left.append(self._front.label(app.slug, loaded[0]))
        except BaseException:
            for vcl in loaded:
                self._front.discard(vcl)
            raise
        idle = [vcl for vcl in left if vcl is not None]
        if idle:
            limits = DrainLimits(self._drain_limit_s, 0.0)  # no container ends, so no socket either
            self._drainer.start(app, idle, [], limits, lambda cut: None)

    def canary_front(self, app: App, trial: ActiveCanary) -> AppFront:
        """The canary's side of the app."""
        live = self._store.release(app.live_release) if app.live_release else None
        before = self._wanted.left_behind(app, live, trial.release)
        wanted = self._wanted.after(app, trial.release, trial.containers, stopped=False, before=before)
        return dataclasses.replace(wanted, side=trial.canary(self._wanted.front(app).cache_key))
