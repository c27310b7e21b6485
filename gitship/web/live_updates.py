"""Passes events from the bus to the viewers' coroutines.

A wake-up carries no content. Whoever is woken reads what is new from the log file and the store, at its own pace, so a
slow viewer holds up nobody and misses nothing, and neither does one whose wake-up was lost.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from gitship.events import Bus, Event

WAKE_DELAY_S = 0.05  # 100 lines/s become 20 wake-ups; the eye sees no difference
TICK_S = 1.0  # everybody looks again this often, for what was written after its event or without one
MAX_WATCHES = 1000
STATE_TOPICS = ("deploy.state", "app")
ALL_APPS = "apps"  # the key of watches on whatever changes a state, of any app

Key = int | str  # a deploy's id, ALL_APPS, or the name of something else that wakes its viewers


class Viewer:
    """One viewer's. ``closed`` once it or the server has left; ``state_changed`` since the viewer last reset it.

    ``recheck``: keys have changed, so perhaps this viewer may see no more.
    """

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.state_changed = True
        self.recheck = False
        self.closed = False

    async def woken(self) -> None:
        """Returns at the next wake-up or tick; at once when there was one since the last call."""
        await self._event.wait()
        self._event.clear()

    def wake(self) -> None:
        self._event.set()

    def close(self) -> None:
        self.closed = True
        self.wake()


class LiveUpdates:
    """Started and stopped on the event loop; ``watch`` belongs to the event loop too."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._watches: dict[Key, set[Viewer]] = {}
        self._count = 0
        self.version = _now_ms()  # goes up with every change of a state, and over a restart
        self._begun = self.version
        self._versions: dict[str, int] = {}  # by app: when it changed last
        self._changed: dict[Key, bool] = {}  # key -> whether a state changed; filled by the thread, emptied by the loop
        self._apps: set[str] = set()  # likewise
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._subscription = self._bus.subscribe(self._wants)
        self._thread = threading.Thread(target=self._forward, name="web-live", daemon=True)
        self._thread.start()
        self._ticking = asyncio.create_task(self._tick(), name="web-live-tick")

    def stop(self) -> None:
        """Ends the thread and tells every viewer that the server is going."""
        self._stopping.set()
        self._subscription.put(Event("web.stop"))  # ends its wait now
        self._subscription.close()
        self._thread.join(timeout=5)
        self._ticking.cancel()
        for watches in self._watches.values():
            for watch in watches:
                watch.close()

    def version_of(self, apps: Iterable[str] | None) -> int:
        """When (in ms) one of these apps changed last, so that it tells nothing of others; None: any of all."""
        if apps is None:
            return self.version
        return max((self._versions.get(app, self._begun) for app in apps), default=self._begun)

    def rights_changed(self) -> None:
        """From any thread: every viewer's right is looked at again, at once."""
        with suppress(RuntimeError):  # the loop has just ended, and everybody has left
            self._loop.call_soon_threadsafe(self._recheck)

    def _recheck(self) -> None:
        for watches in self._watches.values():
            for watch in watches:
                watch.recheck = True
                watch.wake()

    def changed(self, apps: Iterable[str]) -> None:
        """These apps look different now."""
        self.version = max(self.version + 1, _now_ms())
        self._versions.update(dict.fromkeys(apps, self.version))
        self.wake(ALL_APPS)

    def wake(self, key: Key) -> None:
        """Whoever watches this shall look again."""
        for watch in self._watches.get(key, ()):
            watch.wake()

    @property
    def watched(self) -> bool:
        """True while there is a viewer."""
        return self._count > 0

    @property
    def full(self) -> bool:
        return self._count >= MAX_WATCHES

    @contextmanager
    def watch(self, key: Key) -> Iterator[Viewer]:
        """A watch on the deploy with this id, or on whatever ``wake`` is called for."""
        watch = Viewer()
        self._watches.setdefault(key, set()).add(watch)
        self._count += 1
        try:
            yield watch
        finally:
            self._count -= 1
            watches = self._watches[key]
            watches.discard(watch)
            if not watches:
                del self._watches[key]

    def _wants(self, event: Event) -> bool:
        # Runs in the publisher's thread: a line that nobody watches costs it two look-ups.
        return event.topic in STATE_TOPICS or (event.topic == "deploy.line" and event.deploy_id in self._watches)

    def _forward(self) -> None:
        while not self._stopping.is_set():
            event = self._subscription.get(timeout_s=60)
            if event is None or self._stopping.is_set():
                continue
            state = event.topic in STATE_TOPICS
            with self._lock:
                scheduled = bool(self._changed)
                if event.deploy_id is not None:
                    self._changed[event.deploy_id] = self._changed.get(event.deploy_id, False) or state
                if state:
                    self._changed[ALL_APPS] = True
                    self._apps.add(event.app)
            if not scheduled:
                self._loop.call_soon_threadsafe(self._loop.call_later, WAKE_DELAY_S, self._deliver)

    def _deliver(self) -> None:
        with self._lock:
            changed, self._changed = self._changed, {}
            apps, self._apps = self._apps, set()
        if ALL_APPS in changed:
            self.changed(apps)
        for key, state in changed.items():
            for watch in self._watches.get(key, ()):
                watch.state_changed = watch.state_changed or state
                watch.wake()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            for watches in self._watches.values():
                for watch in watches:
                    watch.state_changed = True
                    watch.wake()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
