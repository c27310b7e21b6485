"""In-process event bus for log lines and state changes.

A slow subscriber loses its oldest events, never holds up a publisher; ``Subscription.lost`` counts them.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from gitship.model import ContainerEvent

QUEUE_EVENTS = 10_000


@dataclass(frozen=True, slots=True)
class Event:
    """``topic`` is ``deploy.line`` (text), ``deploy.state`` (text is the state) or ``app`` (it changed).

    Or it is ``container.crashed``, ``container.oom``, ``container.restarted`` or ``container.unhealthy``: what happened
    to a live container, of which ``text`` is the sentence and ``happening`` has all that is known.

    ``certificate.expiring``: it ends within two weeks, text says when and why it is not renewed yet.
    ``certificate.delayed``: an app has asked for as many as it may, text says until when it waits.
    ``container.crash_loop``: it crashes again and again. ``release.bad``: text says why, and what was done about it.
    ``cron.failed``: a run of an app's cron entry has failed, text says which and why.

    ``app`` is its name at that moment; ``app_id`` is whose it is, also when that name is another app's by now.
    """

    topic: str
    app: str = ""
    deploy_id: int | None = None
    text: str = ""
    at: float = field(default_factory=time.time)
    happening: ContainerEvent | None = None
    app_id: int | None = None


class Subscription:
    """Events since ``Bus.subscribe``; use as a context manager so that it always ends."""

    def __init__(self, bus: Bus, wants: Callable[[Event], bool]) -> None:
        self._bus = bus
        self.wants = wants
        self._events: deque[Event] = deque(maxlen=QUEUE_EVENTS)
        self._ready = threading.Condition()
        self._closed = False
        self.lost = 0

    def put(self, event: Event) -> None:
        with self._ready:
            if len(self._events) == QUEUE_EVENTS:
                self.lost += 1
            self._events.append(event)
            self._ready.notify()

    def get(self, timeout_s: float) -> Event | None:
        """The next event, or None when there was none within ``timeout_s``, or before it was closed."""
        with self._ready:
            if not self._events and not self._closed:
                self._ready.wait(timeout_s)
            return self._events.popleft() if self._events else None

    def close(self) -> None:
        """Whoever waits for an event waits no longer."""
        self._bus.unsubscribe(self)
        with self._ready:
            self._closed = True
            self._ready.notify_all()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Bus:
    """Publish and subscribe, safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._subscriptions: list[Subscription] = []

    def subscribe(self, wants: Callable[[Event], bool] = lambda event: True) -> Subscription:
        subscription = Subscription(self, wants)
        with self._lock:
            self._subscriptions.append(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        with self._lock:
            if subscription in self._subscriptions:
                self._subscriptions.remove(subscription)

    def publish(self, event: Event) -> None:
        with self._lock:
            interested = [s for s in self._subscriptions if s.wants(event)]
        for subscription in interested:
            subscription.put(event)
