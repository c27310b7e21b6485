"""Ways to services for people: connections forwarded by SSH, and logins of their own that end by themselves."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass

from gitship.errors import Conflict, NotFound, UsageError
from gitship.front.tls import self_signed
from gitship.model import Identity
from gitship.model.services import Exposure, Service
from gitship.operations.shared import Shared
from gitship.services import placeholders
from gitship.services.room import ServicesRoom

LOCALHOST = "127.0.0.1"
CERTIFICATE_DAYS = 3650  # of an exposed port: its clients know it by a copy


@dataclass(frozen=True, slots=True)
class TemporaryAccess:
    """``url`` is for a client on the operator's machine, where ``local_port`` leads to the service's ``port``."""

    url: str
    local_port: int
    port: int
    expires_at: float


class ServiceReach:
    """Every method takes the service and who acts, and both are checked as it acts; raises GitshipError."""

    def __init__(self, shared: Shared, room: ServicesRoom) -> None:
        self._store = shared.store
        self._settings = shared.settings
        self._room = room
        self._containers = room.containers

    def named(self, name: str, port: int, by: Identity) -> Service:
        """The service that ``name:port`` means. Raises NotFound, in the same words for one that the key may not use."""
        found = self._store.find_service(name)
        if found is None or not self._store.may_use_service(found, by):
            raise NotFound(f"no service '{name[:80]}' for this key", "only services are reached by forwarding")
        service = self.confirm(found, by)
        engine = self._containers.engine_of(service)
        if port != engine.port:
            raise UsageError(f"{service.name} does not listen on port {port}", f"its port is {engine.port}")
        return service

    def confirm(self, service: Service, by: Identity) -> Service:
        return self._store.confirm_service(service, by)

    def address(self, service: Service, by: Identity) -> tuple[str, int]:
        """Where its server listens now, for this machine. Raises ServiceError when it does not run."""
        return self._containers.address(self._store.confirm_service(service, by))

    def reached(self, service: Service, sock: socket.socket) -> None:
        """A connection from outside its apps' networks, which ends when these are left. Raises ServiceError then."""
        self._containers.outside.add(service, sock)

    def left(self, service: Service, sock: socket.socket) -> None:
        self._containers.outside.discard(service, sock)

    def temporary(
        self, service: Service, by: Identity, *, seconds: float, local_port: int | None, read_only: bool
    ) -> TemporaryAccess:
        """A login of its own, as an app's, which is dropped after so many seconds."""
        now = self._store.confirm_service(service, by)
        engine = self._containers.engine_of(now)
        expires_at = time.time() + seconds
        login = self._room.links.temporary(now, expires_at, read_only=read_only)
        port = local_port or engine.port
        values = self._containers.values(now, login) | {"host": LOCALHOST, "port": str(port)}
        return TemporaryAccess(placeholders.filled(engine.url, values), port, engine.port, expires_at)

    def expose(self, service: Service, port: int, networks: tuple[str, ...], by: Identity) -> Exposure:
        """Opens the port, or changes who may. The certificate stays the same as long as the service is exposed.

        Raises Conflict for an engine whose clients do not begin with TLS, ConfigError when the port cannot be had.
        """
        now = self._store.confirm_service(service, by)
        engine = self._containers.engine_of(now)
        if engine.expose == "none":
            raise Conflict(f"clients of {engine.title} cannot begin with TLS", f"use services:proxy {now.name}")
        before = self._store.exposure(now.id)
        pem = before.pem if before else self_signed.make([self._settings.domain], CERTIFICATE_DAYS)
        made = Exposure(now.id, port, networks, engine.expose, pem)
        with self._store.acting_on_service(service, by):
            self._store.put_exposure(made)
        try:
            self._room.ports.open(made)
        except BaseException:
            if before is None:
                self._store.delete_exposure(now.id)
            else:
                self._store.put_exposure(before)
            raise
        return made

    def unexpose(self, service: Service, by: Identity) -> None:
        """Raises NotFound when it is not exposed."""
        with self._store.acting_on_service(service, by) as now:
            if self._store.exposure(now.id) is None:
                raise NotFound(f"{now.name} is not exposed", "see `services:info`")
            self._store.delete_exposure(now.id)
        self._room.ports.sync()

    def exposure(self, service: Service) -> Exposure | None:
        return self._store.exposure(service.id)
