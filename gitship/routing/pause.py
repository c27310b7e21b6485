"""Pauses of apps: holds new requests, for example during a database migration."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass

from gitship.appsettings import STOPPED
from gitship.errors import AlreadyGone, Conflict, GitshipError, NotFound
from gitship.front.front import Front
from gitship.front.pause_vcl import MOST_S
from gitship.front.websocket_count import BUSY_PER_SOCKET
from gitship.model import App, Identity
from gitship.routing.access_control import AccessControl
from gitship.store import Store

IN_FLIGHT_S = 5.0  # how long `ps:pause` waits for what the app was doing
POLL_S = 0.2
JOIN_S = 10.0

log = logging.getLogger("gitship.pause")


@dataclass(frozen=True, slots=True)
class Paused:
    """``left_s`` seconds remain; ``in_flight`` requests of before had not been answered yet."""

    left_s: float
    in_flight: int = 0


class ServerPauses:
    """Each pause has a thread that ends it at its limit. Nothing is stored: a pause ends with gitship, too."""

    def __init__(self, store: Store, front: Front, access_control: AccessControl, domain: str) -> None:
        self._store = store
        self._front = front
        self._access_control = access_control
        self._domain = domain
        self._lock = threading.Lock()
        self._running: dict[int, tuple[App, threading.Event]] = {}  # as each app was then
        self._threads: list[threading.Thread] = []  # of these, and of pauses that have just ended

    def pause(self, app: App, limit_s: float, by: Identity) -> Paused:
        """New requests wait from now on; returns when those of before are answered, or after ``IN_FLIGHT_S``.

        Raises NotFound, Conflict (paused already, stopped, never deployed) or FrontError; then nothing has changed.
        """
        found = self._store.confirm_live(app, by)
        if (paused := self.paused(found)) is not None:
            raise _already_paused(found, paused)
        if self._store.setting(found.id, STOPPED):
            raise Conflict(f"{found.name} is stopped: no request reaches it", f"start it: ps:start {found.name}")
        limit_s = min(limit_s, MOST_S)
        until = time.time() + limit_s  # for the VCL, which knows no other clock
        ends_at = time.monotonic() + limit_s
        before = self._front.labelled(found.slug)
        over = threading.Event()
        thread = threading.Thread(
            target=self._watch, args=(found, ends_at, over), name=f"pause-{found.id}", daemon=True
        )
        with self._lock:
            if found.id in self._running:
                raise _already_paused(found, self.paused(found))
            self._running[found.id] = (found, over)
        try:
            self._front.pauses.begin(found.slug, found.id, until)
            self._access_control.apply_front(found)
            self._front.pauses.hold(found.slug, self._host(found))
        except BaseException:
            self._end(found.id)
            raise
        with self._lock:
            self._threads = [*(other for other in self._threads if other.is_alive()), thread]
            thread.start()
        in_flight = self._in_flight(before, min(ends_at, time.monotonic() + IN_FLIGHT_S)) if before else 0
        return Paused(max(0.0, ends_at - time.monotonic()), in_flight)

    def resume(self, app: App, by: Identity) -> Paused:
        """Lets them go. Raises NotFound, AlreadyGone when it isn't paused."""
        found = self._store.confirm(app, by)
        paused = self.paused(found)
        if paused is None or not self._end(found.id):
            raise AlreadyGone(f"{found.name} is not paused", f"a pause ends by itself after at most {MOST_S:g} s")
        return paused

    def paused(self, app: App) -> Paused | None:
        pause = self._front.pauses.of(app.slug)
        return Paused(pause.left_s) if pause and app.id in self._running else None

    def stop(self) -> None:
        """Ends every pause, and the threads."""
        with self._lock:
            running, threads = list(self._running), list(self._threads)
        for app_id in running:
            self._end(app_id)
        for thread in threads:
            thread.join(JOIN_S)

    # -- within

    def _watch(self, app: App, ends_at: float, over: threading.Event) -> None:
        while not over.wait(POLL_S):
            if time.monotonic() >= ends_at:
                log.warning("%s: the pause has reached its limit", app.name)
                self._end(app.id)
                return
            try:
                if self._is_another(app):
                    self._end(app.id)
                    return
                self._front.pauses.hold(app.slug, self._host(app))
            except GitshipError as error:
                log.warning("%s: %s", app.name, error.message)

    def _is_another(self, app: App) -> bool:
        """Whoever asks for its host now, asks for another app, or for none: it was destroyed or renamed."""
        try:
            return self._store.app_by_id(app.id).name != app.name
        except NotFound:
            return True

    def _end(self, app_id: int) -> bool:
        """True when this call has ended it. What Varnish refuses, its own limit in the VCL sees to."""
        with self._lock:
            found = self._running.pop(app_id, None)
        if found is None:
            return False
        app, over = found
        over.set()
        self._front.pauses.end(app.slug)
        try:
            self._access_control.apply_front(app)
        except GitshipError as error:
            log.warning("%s: after a pause: %s", app.name, error.message)
        return True

    def _in_flight(self, vcl: str, deadline: float) -> int:
        while busy := self._front.busy(vcl):
            left = busy - BUSY_PER_SOCKET * self._front.sockets([vcl])
            if left <= 0:
                return 0
            if time.monotonic() >= deadline:
                return left
            time.sleep(POLL_S)
        return 0

    def _host(self, app: App) -> str:
        return f"{app.name}.{self._domain}"


def _already_paused(app: App, paused: Paused | None) -> Conflict:
    left = f" for {paused.left_s:.0f} s more" if paused else ""
    return Conflict(f"{app.name} is already paused{left}", f"resume it first: ps:resume {app.name}")
