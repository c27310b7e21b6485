"""Detects a container that listens on the wrong port, before its health check times out.

Told at once, and after a short grace no reason to wait on, if what it listens on instead looks like the app: its own
port on loopback, or a port that answers HTTP. A debugger or a registrar that comes up first answers none.
"""

from __future__ import annotations

import time

from gitship.containers import listening_sockets
from gitship.containers.listening_sockets import PortDiagnosis
from gitship.containers.probe import Events, http_answer
from gitship.model import Check, Container

GRACE_S = 5.0  # from the last change of its sockets on
HTTP_TIMEOUT_S = 1.0


class WrongPortSuspicion:
    """Of one container and one of its checks. For one thread."""

    def __init__(self, container: Container, port: int, host: str, app: str, ends: Events = ()) -> None:
        self._container = container
        self._port = port
        self._host = host
        self._app = app
        self._ends = ends
        self._seen: set[tuple[str, int]] = set()
        self._since = 0.0
        self._is_the_app = False

    def look(self, pid: int) -> PortDiagnosis | None:
        """What the sockets say now, if that explains a refused connection."""
        there = listening_sockets.listening(pid) if pid else set()
        found = listening_sockets.diagnose(there, self._port, self._app)
        if there != self._seen:
            self._seen, self._since = there, time.monotonic()
            self._is_the_app = bool(found and found.wrong) and self._answers(found)
        return found

    @property
    def settled(self) -> bool:
        """True when waiting on would only cost time."""
        return self._is_the_app and time.monotonic() - self._since >= GRACE_S

    def _answers(self, found: PortDiagnosis | None) -> bool:
        if found is None or not found.others:
            return found is not None
        check = Check(timeout_s=HTTP_TIMEOUT_S, lenient=True)
        address, ports = self._container.address, found.others[:3]
        tried = (http_answer(check, address, port, self._host, events=self._ends)[1] for port in ports)
        return any(seen.startswith("GET / ") and "not HTTP" not in seen for seen in tried)
