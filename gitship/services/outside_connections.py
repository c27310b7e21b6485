"""Connections to services that do not come from an app's network: they end with what the apps' connections end with."""

from __future__ import annotations

import contextlib
import socket
import threading

from gitship.errors import ServiceError
from gitship.model.services import Service


class OutsideConnections:
    """Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[int, set[socket.socket]] = {}  # by the service's id
        self._shut: set[int] = set()

    def add(self, service: Service, sock: socket.socket) -> None:
        """Raises ServiceError while nobody may write to the service."""
        with self._lock:
            if service.id in self._shut:
                raise ServiceError(f"the data of {service.name} are being copied", "try again when that is done")
            self._open.setdefault(service.id, set()).add(sock)

    def discard(self, service: Service, sock: socket.socket) -> None:
        with self._lock:
            found = self._open.get(service.id, set())
            found.discard(sock)
            if not found:
                self._open.pop(service.id, None)

    def shut(self, service: Service) -> None:
        """Ends those that there are; no new one until ``allow``."""
        with self._lock:
            self._shut.add(service.id)
            for sock in self._open.get(service.id, ()):
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def allow(self, service: Service) -> None:
        with self._lock:
            self._shut.discard(service.id)
