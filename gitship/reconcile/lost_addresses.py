"""Releases the addresses of containers that no longer exist.

gitship may have been killed when a container had just gone, or Docker when it should have removed one.
"""

from __future__ import annotations

from gitship.containers.claims import Claims
from gitship.deploy.queue import DeployQueue
from gitship.engine.interface import Engine
from gitship.engine.types import LABEL_SERVER
from gitship.errors import GitshipError
from gitship.per_app_errors import PerAppErrors
from gitship.store import Store


class LostAddresses:
    """Safe from any thread, also beside deploys and one-offs, which have an address before they have a container."""

    def __init__(
        self, store: Store, engine: Engine, claims: Claims, queue: DeployQueue, apart: PerAppErrors | None = None
    ) -> None:
        self._apart = apart or PerAppErrors()
        self._store = store
        self._engine = engine
        self._claims = claims
        self._queue = queue
        self._labels = {LABEL_SERVER: store.server_id()}

    def settle(self, failed: list[GitshipError] | None = None) -> None:
        """Frees those that can be told to be lost now. To ``failed`` is added what went wrong, an app's at a time."""
        having = {app_id for app_id, _ in self._store.addresses_of_no_live_container()}
        for app in self._store.apps() if having else ():
            with self._apart.part(app.name, "its lost addresses", failed):
                if app.id in having:
                    self._look_at(app.id)

    def _look_at(self, app_id: int) -> None:
        with self._claims.at_once(app_id) as mine:
            if mine and self._queue.running(app_id) is None:
                self._settle(app_id)

    def _settle(self, app_id: int) -> None:
        """In this order: who is making a container now took its address before, or is not yet among those seen."""
        taken = {owner for app, owner in self._store.addresses_of_no_live_container() if app == app_id}
        if self._claims.is_joined(app_id):
            return
        for owner in taken - {state.name for state in self._engine.list(self._labels)}:
            self._store.release_address(app_id, owner)
