"""Drains the old release: waits for its requests, discards its VCL, then sends SIGTERM.

Websockets have a limit of their own. Varnish can't close one well: the app does it when it gets SIGTERM.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gitship.containers.container_starter import ContainerStarter
from gitship.errors import GitshipError
from gitship.front.front import Front
from gitship.front.websocket_count import BUSY_PER_SOCKET
from gitship.model import App, Container

log = logging.getLogger("gitship.drain")
POLL_S = 0.05
SOCKETS_POLL_S = 0.5  # a child process each time


@dataclass(frozen=True, slots=True)
class DrainLimits:
    """Seconds that requests in flight, and open websockets, may go on after a switch."""

    requests_s: float
    sockets_s: float


@dataclass(frozen=True, slots=True)
class CutConnections:
    """What was still open when its limit had passed."""

    requests: int = 0
    sockets: int = 0


class Drainer:
    """Each drain has a thread of its own, so that the next deploy need not wait for an open websocket."""

    def __init__(self, front: Front, starter: ContainerStarter) -> None:
        self._front = front
        self._starter = starter
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._draining: set[str] = set()

    def start(
        self,
        app: App,
        vcls: Sequence[str],
        containers: Sequence[tuple[Container, float]],
        limits: DrainLimits,
        then: Callable[[CutConnections], None],
    ) -> None:
        """Drains ``vcls``, then ends ``containers`` (each with its grace in seconds).

        ``then`` gets what was cut off by the limits (nothing is the rule), unless gitship stops before:
        the reconciler of the next start takes it up again.
        """
        thread = threading.Thread(
            target=self._drain, args=(app, vcls, containers, limits, then), name=f"drain-{app.name}", daemon=True
        )
        with self._lock:
            self._threads.add(thread)
            self._draining |= {container.id for container, _ in containers}
        thread.start()

    def draining(self) -> set[str]:
        """Ids of the containers that are being drained now."""
        with self._lock:
            return set(self._draining)

    def wait(self, timeout_s: float) -> bool:
        """True when no drain is left within ``timeout_s``."""
        deadline = time.monotonic() + timeout_s
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def stop(self) -> None:
        """Leaves the drains where they are; containers in drain go on serving."""
        self._stop.set()
        self.wait(5.0)

    def _drain(
        self,
        app: App,
        vcls: Sequence[str],
        containers: Sequence[tuple[Container, float]],
        limits: DrainLimits,
        then: Callable[[CutConnections], None],
    ) -> None:
        try:
            cut = self._end(app, vcls, containers, limits)
            if cut is not None:
                then(cut)
        except GitshipError as error:
            log.warning("%s: after draining: %s", app.name, error.message)
        except Exception:
            log.exception("%s: draining", app.name)
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())
                self._draining -= {container.id for container, _ in containers}

    def _end(
        self, app: App, vcls: Sequence[str], containers: Sequence[tuple[Container, float]], limits: DrainLimits
    ) -> CutConnections | None:
        """None when gitship stops first. A Docker or Varnish that is away leaves the rest to the reconciler."""
        cut = CutConnections()
        try:
            cut = self._until_idle(vcls, limits)
            if self._stop.is_set():
                return None
            for vcl in vcls:
                self._front.discard(vcl)  # before the stop: its probes must not meet the next owner of an address
            self._starter.retire(app, containers)
        except GitshipError as error:
            log.warning("%s: draining: %s; the reconciler will finish it", app.name, error.message)
        return cut

    def _until_idle(self, vcls: Sequence[str], limits: DrainLimits) -> CutConnections:
        """What is still open when nothing is, the limits have passed, or gitship stops."""
        began = time.monotonic()
        while busy := sum(self._front.busy(vcl) for vcl in vcls):
            passed_s, pause_s = time.monotonic() - began, POLL_S
            if passed_s >= min(limits.requests_s, limits.sockets_s):
                pause_s = SOCKETS_POLL_S
                sockets = self._front.sockets(vcls)
                requests = max(0, busy - BUSY_PER_SOCKET * sockets)
                awaited = (requests and passed_s < limits.requests_s) or (sockets and passed_s < limits.sockets_s)
                if not awaited:
                    return CutConnections(requests, sockets)
            if self._stop.wait(pause_s):
                return CutConnections(busy)
        return CutConnections()
