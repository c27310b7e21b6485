"""Live log of an app, shared by all its viewers, and what a returning viewer has missed.

A frame is what came within a moment. A viewer that is behind the frames kept is cut off; when it comes back, what it
missed is read from Docker.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gitship.engine.types import LogLine
from gitship.errors import EngineError, GitshipError, NotFound
from gitship.model import Container
from gitship.observe.status_facts import StatusFacts
from gitship.web import ansi, log_positions
from gitship.web.log_positions import BEGIN, MARGIN_S, Chain, Position, Positions

log = logging.getLogger(__name__)

KEPT_LINES = 5000
FRAME_DELAY_S = 0.05
LOOK_S = 0.5  # for new containers
READ_LINES = 10_000
LINE_CHARS = 4000
LINGER_S = 10.0  # after the last viewer: most come back

Containers = Callable[[], list[Container]]  # those of now; called in a thread


@dataclass(frozen=True, slots=True)
class Placed:
    """A line and where it stands."""

    line: LogLine
    at: Position

    def after(self, seen: Positions) -> bool:
        return self.at > seen.get(self.line.container, BEGIN)


@dataclass(frozen=True, slots=True)
class Frame:
    """``after`` is where a viewer stands who has it."""

    lines: tuple[Placed, ...]
    after: dict[str, Position]
    event: bytes


def frame(lines: Iterable[Placed], after: dict[str, Position]) -> Frame:
    """The lines as one server-sent event: it arrives whole or not at all."""
    lines = tuple(lines)
    rows = json.dumps([row(p.line) for p in lines], ensure_ascii=False)
    return Frame(lines, after, f"id: {log_positions.encode(after)}\nevent: lines\ndata: {rows}\n\n".encode())


def suited(found: Frame, seen: Positions) -> bytes:
    """The frame's event for a viewer who stands at ``seen``: without what it has already, and never leading back."""
    fresh = [p for p in found.lines if p.after(seen)]
    if not fresh:
        return b""
    leads_back = any(at[1] and found.after.get(name, at) < at for name, at in seen.items())
    if len(fresh) == len(found.lines) and not leads_back:
        return found.event
    return frame(fresh, {name: max(at, seen.get(name, BEGIN)) for name, at in found.after.items()}).event


def row(line: LogLine) -> tuple[float, str, str, str]:
    """Time, process as in ``web.1``, stream, and the text as HTML."""
    text = line.text.rpartition("\r")[2]
    text = text if len(text) <= LINE_CHARS else text[:LINE_CHARS] + " …"
    return line.at, instance(line.container), line.stream, ansi.html(text)


def instance(container: str) -> str:
    """``web.1`` of ``shop.web.1.v12``; app names may have dots, process types not."""
    parts = container.rsplit(".", 3)
    return ".".join(parts[1:3]) if len(parts) == 4 else container


def past(facts: StatusFacts, containers: Iterable[Container], seen: Positions, tail: int) -> list[Placed]:
    """The last ``tail`` lines of each container that come after ``seen``, by time. Not for an event loop."""
    found: list[Placed] = []
    for container in containers:
        chain = Chain()
        begin = seen.get(container.name)
        try:
            lines = facts.log(container, tail=tail, since=begin[0] - MARGIN_S if begin else None)
            placed = [Placed(line, chain.position(line)) for line in lines]
        except NotFound:  # removed meanwhile
            continue
        found += [p for p in placed if p.after(seen)]
    return sorted(found, key=lambda p: p.line.at)


class AppLog:
    """``lines`` are gathered by threads; frames are made, and read, on the event loop."""

    def __init__(
        self, key: str, containers: Containers, begin: Positions, facts: StatusFacts, loop: asyncio.AbstractEventLoop,
        wake: Callable[[], None],
    ) -> None:  # fmt: skip
        """``begin`` is where its first viewer stands: it has every line after that."""
        self._containers = containers
        self._facts = facts
        self._loop = loop
        self._wake = wake
        self._base = dict(begin)  # nothing up to here is kept
        self._newest = dict(begin)
        self._frames: deque[Frame] = deque()
        self._in_frames: Counter[str] = Counter()  # lines by container
        self._first = 0  # the number of the first frame kept
        self._lock = threading.Lock()
        self._arrived: list[Placed] = []
        self._live: set[str] = set()
        self._stop = threading.Event()
        self._readers: dict[str, threading.Thread] = {}
        self._thread = threading.Thread(target=self._look, name=f"web-log-{key}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Its threads end soon after."""
        self._stop.set()

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)
        for reader in list(self._readers.values()):
            reader.join(timeout_s)

    # -- for viewers

    def covers(self, seen: Positions) -> bool:
        """True when it has every line after ``seen``."""
        return all(seen.get(name, BEGIN) >= base for name, base in self._base.items())

    def entered(self, seen: Positions) -> dict[str, Position]:
        """``seen`` for a page that was made when earlier releases were gone: it is spared what they said."""
        gone = {name: at for name, at in self._newest.items() if name not in self._live and name not in seen}
        return {**gone, **seen}

    def number(self) -> int:
        """Of the first frame that is kept."""
        return self._first

    def frame(self, number: int) -> Frame | None:
        """The frame of that number; None when it is still to come. Raises IndexError when it is gone."""
        if number < self._first:
            raise IndexError(number)
        return self._frames[number - self._first] if number - self._first < len(self._frames) else None

    def _cut_frame(self) -> None:
        with self._lock:
            lines, self._arrived = self._arrived, []
            live = set(self._live)
        if not lines:
            return
        lines.sort(key=lambda p: p.line.at)
        self._in_frames.update(p.line.container for p in lines)
        for placed in lines:
            name = placed.line.container
            self._newest[name] = max(placed.at, self._newest.get(name, BEGIN))
        # Also of containers that are gone: who comes back must not get their lines again.
        self._newest = {name: at for name, at in self._newest.items() if name in live or self._in_frames[name]}
        self._frames.append(frame(lines, self._newest))
        while self._in_frames.total() > KEPT_LINES and len(self._frames) > 1:
            gone = self._frames.popleft()
            self._first += 1
            self._in_frames.subtract(p.line.container for p in gone.lines)
            self._base |= {p.line.container: p.at for p in gone.lines}
        self._base = {name: at for name, at in self._base.items() if name in live or self._in_frames[name]}
        self._wake()

    # -- threads

    def _look(self) -> None:
        """Sees to it that each container of the live release has a reader; a log ends with its container."""
        newest: dict[str, Position] = dict(self._base)
        while not self._stop.is_set():
            containers = self._containers()
            with self._lock:
                self._live = {c.name for c in containers}
            for container in containers:
                reader = self._readers.get(container.name)
                if reader is None or not reader.is_alive():
                    reader = threading.Thread(
                        target=self._read, args=(container, newest), name=f"web-log-{container.name}", daemon=True
                    )
                    self._readers[container.name] = reader
                    reader.start()
            self._readers = {name: r for name, r in self._readers.items() if name in self._live or r.is_alive()}
            self._stop.wait(LOOK_S)

    def _read(self, container: Container, newest: dict[str, Position]) -> None:
        """Only this container's thread touches its entry of ``newest``."""
        seen = dict(newest)
        begin = seen.get(container.name)
        chain = Chain()
        since = begin[0] - MARGIN_S if begin else None
        try:
            for line in self._facts.log(container, tail=READ_LINES, since=since, follow=True, stop=self._stop):
                placed = Placed(line, chain.position(line))
                if placed.after(seen):
                    newest[container.name] = placed.at
                    self._add(placed)
        except (NotFound, EngineError) as error:
            log.debug("the log of %s: %s", container.name, error.message)
        except GitshipError as error:
            log.warning("the log of %s: %s", container.name, error.message)

    def _add(self, placed: Placed) -> None:
        with self._lock:
            first = not self._arrived
            self._arrived.append(placed)
        if first and not self._stop.is_set():
            self._loop.call_soon_threadsafe(self._loop.call_later, FRAME_DELAY_S, self._cut_frame)


class AppLogs:
    """The logs that are watched at this moment, of apps and of services. Used on the event loop."""

    def __init__(self, facts: StatusFacts) -> None:
        self._facts = facts
        self._logs: dict[str, AppLog] = {}
        self._viewers: dict[str, int] = {}

    def enter(self, key: str, containers: Containers, seen: Positions, wake: Callable[[], None]) -> AppLog:
        """The log of that key, for one more viewer; ``leave`` is due."""
        self._viewers[key] = self._viewers.get(key, 0) + 1
        if key not in self._logs:
            self._logs[key] = AppLog(key, containers, seen, self._facts, asyncio.get_running_loop(), wake)
        return self._logs[key]

    def leave(self, key: str) -> None:
        self._viewers[key] -= 1
        asyncio.get_running_loop().call_later(LINGER_S, self._end_unwatched, key)

    def _end_unwatched(self, key: str) -> None:
        if not self._viewers.get(key, 0) and key in self._logs:
            self._logs.pop(key).stop()

    def stop(self) -> None:
        """Ends all threads."""
        for found in self._logs.values():
            found.stop()
        for found in self._logs.values():
            found.join(2.0)
        self._logs.clear()
