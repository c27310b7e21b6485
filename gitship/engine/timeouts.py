"""Waits for data with a deadline, a cancel event and detection of a stuck Docker."""

from __future__ import annotations

import math
import select
import socket
import threading
import time
from dataclasses import dataclass
from typing import Any

UNREAD_S = 0.5  # until a sender sees that nobody reads any more
POLL_S = 0.05  # how soon an event is noticed; half of what a cancelled build may take


class WaitInterrupted(Exception):
    """An event of a Timeout was set."""


class TimeoutExpired(Exception):
    """The deadline of a Timeout has passed."""


@dataclass(frozen=True, slots=True)
class Timeout:
    """How long to go on: until ``deadline`` (``time.monotonic``) or until one of ``events`` is set.

    An event is seen within ``poll_s``.
    """

    deadline: float = math.inf
    events: tuple[threading.Event, ...] = ()
    poll_s: float = POLL_S

    def check(self) -> None:
        """Raises WaitInterrupted or TimeoutExpired when it is over."""
        if any(event.is_set() for event in self.events):
            raise WaitInterrupted
        if time.monotonic() >= self.deadline:
            raise TimeoutExpired

    def rest(self, seconds: float) -> None:
        """Nothing happens for so long. Raises WaitInterrupted or TimeoutExpired when that is over before."""
        over = time.monotonic() + seconds
        self.check()
        while (left := over - time.monotonic()) > 0:
            piece = min(left, self.slice_s())
            self.events[0].wait(piece) if self.events else time.sleep(piece)
            self.check()

    def slice_s(self) -> float:
        """How long one wait may be so that neither end is missed by more than ``poll_s``."""
        return self.poll_s if self.events else min(1.0, max(POLL_S, self.deadline - time.monotonic()))


class TimeoutSocket(socket.socket):
    """Waits in slices, so that the patience is looked at; after ``idle_s`` of silence it asks whether Docker lives."""

    patience = Timeout()
    idle_s = math.inf
    unread = False  # the other end has ended: what is sent waits for nobody, and raises BrokenPipeError

    def alive(self) -> None:
        """Raises EngineError when Docker does not answer; replaced by the wire."""

    def recv_into(self, *args: Any) -> int:
        self._wait(select.POLLIN)
        return super().recv_into(*args)

    def sendall(self, data: Any, flags: int = 0) -> None:
        view = memoryview(data)
        while view:
            self._wait(select.POLLOUT)
            try:
                view = view[self.send(view, flags | socket.MSG_DONTWAIT) :]
            except BlockingIOError:
                continue

    def _wait(self, event: int) -> None:
        poll = select.poll()
        poll.register(self, event)
        idle_since = time.monotonic()
        self.patience.check()
        sending = event == select.POLLOUT
        slice_s = min(self.patience.slice_s(), UNREAD_S) if sending else self.patience.slice_s()
        while not poll.poll(slice_s * 1000):
            self.patience.check()
            if sending and self.unread:
                raise BrokenPipeError
            if time.monotonic() - idle_since >= self.idle_s:
                self.alive()
                idle_since = time.monotonic()
