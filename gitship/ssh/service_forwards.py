"""Forwarding to services: the only places that `ssh -L` reaches, by the service's name and its engine's port."""

from __future__ import annotations

import logging
import math
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from gitship.console import visible_apps
from gitship.console.audit_entry import SessionAuditEntry
from gitship.errors import GitshipError, NoPermission, NotFound
from gitship.model import Identity, Outcome, Role
from gitship.model.services import Service
from gitship.operations.operations import Operations
from gitship.store import Store

log = logging.getLogger("gitship.ssh")

CONNECT_S = 10.0
NOTED_S, REFUSED_S = 600.0, 10.0  # between two entries of one key, address and service
REMEMBERED = 4096
ACTION = "services:proxy"  # in the audit log


class ServiceForward:
    """A ``ForwardTarget``."""

    def __init__(
        self, operations: Operations, service: Service, identity: Identity, entry: SessionAuditEntry | None
    ) -> None:
        self._operations = operations
        self._service = service
        self._identity = identity
        self._entry = entry
        self._socket: socket.socket | None = None

    def connect(self) -> socket.socket:
        address, port = self._operations.service_reach.address(self._service, self._identity)
        self._socket = sock = socket.create_connection((address, port), timeout=CONNECT_S)
        sock.settimeout(None)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._operations.service_reach.reached(self._service, sock)
        except BaseException:
            sock.close()
            raise
        return sock

    def still_may(self) -> bool:
        try:
            self._operations.service_reach.confirm(self._service, self._identity)
        except (NoPermission, NotFound):
            return False
        return True

    def ended(self, error: str, to_target: int, from_target: int) -> None:
        if self._socket is not None:
            self._operations.service_reach.left(self._service, self._socket)
        passed = f"{self._service.name}, {to_target} bytes to it, {from_target} from it"
        detail = f"{passed}: {error}" if error else passed
        log.info("%s: connection to %s has ended", self._identity.key_name, detail)
        if self._entry is not None:
            self._entry.detail = detail
            self._entry.end(Outcome.FAILED if error else Outcome.OK)


class ServiceForwards:
    """Says where a forwarded connection leads; whatever is not a service that the key may use leads nowhere."""

    def __init__(self, store: Store, operations: Operations, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._operations = operations
        self._clock = clock
        self._lock = threading.Lock()
        self._noted: OrderedDict[tuple[str, str, str], float] = OrderedDict()

    def __call__(self, identity: Identity, host: str, port: int) -> ServiceForward:
        """Raises GitshipError. A pool opens hundreds: the audit log has the first of a key and service in a while."""
        entry = SessionAuditEntry(self._store, identity, ACTION)
        try:
            if not identity.role.allows(Role.DEPLOYER):
                raise visible_apps.denied(f"forwarding to {host[:80]}:{port}", identity, Role.DEPLOYER)
            service = self._operations.service_reach.named(host, port, identity)
        except GitshipError as error:
            if self._is_news(identity, ""):
                entry.detail = f"{host[:80]}:{port}: {error.message}"
                entry.end(Outcome.REFUSED)
            raise
        if not self._is_news(identity, service.name):
            return ServiceForward(self._operations, service, identity, None)
        entry.detail = service.name
        entry.begin()
        return ServiceForward(self._operations, service, identity, entry)

    def _is_news(self, identity: Identity, name: str) -> bool:
        """``name`` "" stands for whatever is refused."""
        key, now = (identity.fingerprint, identity.address, name), self._clock()
        with self._lock:
            if now - self._noted.get(key, -math.inf) < (NOTED_S if name else REFUSED_S):
                return False
            self._noted[key] = now
            self._noted.move_to_end(key)
            while len(self._noted) > REMEMBERED:
                self._noted.popitem(last=False)
        return True
