"""Volumes of services. Each is written down before it is made, and goes only by its name in the store."""

from __future__ import annotations

import dataclasses
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from gitship.engine import types
from gitship.engine.interface import Engine
from gitship.errors import Conflict
from gitship.model.services import KEPT_S, Service, ServiceVolume, VolumeUse
from gitship.services.service_container import ServerVolume, labels
from gitship.store import Store

NAME_BYTES = 4


class ServiceVolumes:
    """Safe from any thread."""

    def __init__(self, store: Store, engine: Engine, server_id: str) -> None:
        self._store = store
        self._engine = engine
        self._server_id = server_id

    def make(self, service: Service, version: str, image: str, image_id: str) -> ServerVolume:
        """A new empty volume, being filled. Raises EngineError."""
        name = f"gitship-{self._server_id}-service{service.id}-{secrets.token_hex(NAME_BYTES)}"
        self._store.note_volume(
            ServiceVolume(name, service.id, VolumeUse.FILLING, version, image, image_id, time.time(), None)
        )
        self._engine.volumes.make(name, labels(self._server_id, service))
        return ServerVolume(name, version, image_id)

    @contextmanager
    def scratch(self, service: Service, version: str, image: str, image_id: str) -> Iterator[ServerVolume]:
        """One that goes with the block unless that has made it the service's own."""
        placed = self.make(service, version, image, image_id)
        try:
            yield placed
        finally:
            if self._use(service, placed.volume) is VolumeUse.FILLING:
                self.discard(service, placed.volume)

    def copy(self, service: Service, placed: ServerVolume, gone: threading.Event) -> None:
        """All that is in the volume of the service, whose server has ended. Raises EngineError, WaitInterrupted."""
        own = {**labels(self._server_id, service), types.LABEL_VOLUME: "data"}
        with self._engine.volumes.read(service.volume, own, gone) as chunks:
            self._engine.volumes.write(placed.volume, chunks, own, gone)

    def take(self, service: Service, placed: ServerVolume, image: str, **columns: object) -> None:
        """``placed`` is what the service runs from now on; what it had is kept for a while. One transaction."""
        now = time.time()
        with self._store.transaction():
            before = self._store.service(service.id)
            for volume in self._store.service_volumes(service.id):
                if volume.name == placed.volume:
                    changed = dataclasses.replace(
                        volume, use=VolumeUse.LIVE, version=placed.version, image=image, image_id=placed.image_id,
                        until=None, root_password="",
                    )  # fmt: skip
                    self._store.note_volume(changed)
                elif volume.use is VolumeUse.LIVE:
                    kept = dataclasses.replace(
                        volume, use=VolumeUse.KEPT, until=now + KEPT_S, root_password=before.root_password
                    )
                    self._store.note_volume(kept)
            self._store.change_service(
                service.id, volume=placed.volume, version=placed.version, image=image, image_id=placed.image_id,
                **columns,
            )  # fmt: skip

    def kept(self, service: Service) -> list[ServiceVolume]:
        """What can be gone back to; last what was replaced last, however old it is itself."""
        kept = [v for v in self._store.service_volumes(service.id) if v.use is VolumeUse.KEPT]
        return sorted(kept, key=lambda volume: volume.until or 0.0)

    def discard(self, service: Service, name: str) -> None:
        """Removes it, or leaves that to ``clear`` while a container uses it."""
        for volume in self._store.service_volumes(service.id):
            if volume.name == name:
                self._store.note_volume(dataclasses.replace(volume, use=VolumeUse.DISCARDED))
        self._remove(name)

    def clear(self, service: Service) -> list[str]:
        """Removes what is discarded, what has been kept for long enough, and what nobody fills: no task of it runs."""
        gone = []
        for volume in self._store.service_volumes(service.id):
            over = volume.use is VolumeUse.KEPT and volume.until is not None and volume.until <= time.time()
            left = volume.use in (VolumeUse.FILLING, VolumeUse.DISCARDED)
            if (over or left) and self._remove(volume.name):
                gone.append(volume.name)
        return gone

    def remove_all(self, service: Service) -> None:
        """Raises EngineError, and Conflict while one is in use: it stays, and what was written down of it."""
        for volume in self._store.service_volumes(service.id):
            self.discard(service, volume.name)
        if left := self._store.service_volumes(service.id):
            raise Conflict(
                f"the volume {left[0].name} of {service.name} is in use",
                "see `docker ps --all --filter volume=NAME` on the server; gitship tries again by itself",
            )

    def _use(self, service: Service, name: str) -> VolumeUse | None:
        return next((v.use for v in self._store.service_volumes(service.id) if v.name == name), None)

    def _remove(self, name: str) -> bool:
        gone = self._engine.volumes.remove(name)
        if gone:
            self._store.forget_volume(name)
        return gone
