"""A change of an app's gate comes true in Varnish at once: no deploy, no failed request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gitship.deploy.drain import Drainer, Limits
from gitship.deploy.gates import gate_of, no_rates, store_gate
from gitship.deploy.switch import STOPPED, ensure_front, front_of
from gitship.front.front import Front
from gitship.front.gate import Gate
from gitship.model import WEB, Container
from gitship.store import Store

NOWHERE = Container("", "nowhere", 0, 0, WEB, 1, "127.0.0.1", 9)  # an app that never ran is compiled with this


class Gatekeeper:
    """Safe from any thread, also beside deploys of the same app."""

    def __init__(self, store: Store, front: Front, drainer: Drainer, drain_limit_s: float) -> None:
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

    def try_vcl(self, app: str, vcl: str) -> None:
        """See ``Gates.try_vcl``."""
        found = self._store.app(app)
        ensure_front(self._front)
        gate = replace(gate_of(self._store, found.id), vcl=vcl)
        wanted = front_of(self._store.secret(), found, None, [NOWHERE], gate=gate, stopped=False)
        self._front.discard(self._front.load(wanted))

    def ensure_rates(self) -> None:
        """See ``Gates.ensure_rates``."""
        ensure_front(self._front)
        if not self._front.limits_rates():
            raise no_rates()

    def apply_front(self, app: str) -> None:
        """Varnish does for the app what the store says now, with the same containers. Raises FrontError."""
        app_id = self._store.app(app).id
        with self._front.holding(app_id):
            self._apply(app_id)

    def _apply(self, app_id: int) -> None:
        app = self._store.app_by_id(app_id)
        ensure_front(self._front)
        release = self._store.release(app.live_release) if app.live_release else None
        wanted = front_of(
            self._store.secret(), app, release, self._store.containers(app.id),
            gate=gate_of(self._store, app.id), stopped=bool(self._store.setting(app.id, STOPPED)),
        )  # fmt: skip
        new = self._front.load(wanted)
        try:
            old = self._front.label(app.slug, new)
        except BaseException:
            self._front.discard(new)
            raise
        if old is not None:
            limits = Limits(self._drain_limit_s, 0.0)  # no container ends, so no socket either
            self._drainer.start(app, [old], [], limits, lambda cut: None)
