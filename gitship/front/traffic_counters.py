"""Traffic counters of all apps in memory, from varnishncsa: the last hour in steps, and totals."""

from __future__ import annotations

import math
import threading
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from gitship.model.traffic import (
    FIRST_BOUND_S,
    LATENCY_BUCKETS,
    PER_DOUBLING,
    Span,
    Traffic,
    no_latency,
)

# varnishncsa's format. The first field is what the app's VCL has logged (app id, release, how it was answered); a
# request that no app's VCL has seen has "-" there. Nothing in a line is of a visitor's making.
LINE_FORMAT = "%{VCL_Log:gitship}x %s %{Varnish:time_firstbyte}x %O"

STEP_S = 10  # for the last FINE_S; what is older, or from an earlier gitship, is kept by the minute
FINE_S = 600
KEPT_S = 3600
MINUTE_S = 60
_HANDLINGS = {
    b"hit": "hits", b"stale": "stale", b"miss": "misses", b"pass": "passes", b"pipe": "pipes", b"synth": "own",
    b"error": "failed",
}  # fmt: skip
_ASKED = frozenset({b"miss", b"pass", b"error"})
_SCALE = 1 / FIRST_BOUND_S
_LAST = LATENCY_BUCKETS - 1


@dataclass(frozen=True, slots=True)
class TrafficMinute:
    """What one app had in the minute that began at ``start`` (epoch seconds)."""

    app_id: int
    start: int
    traffic: Traffic


@dataclass(slots=True)
class ReleaseCounters:
    """What each release of one app was asked itself since the watch began, by the release's label; no cache hits."""

    app_id: int
    releases: dict[str, Traffic] = field(default_factory=dict)


@dataclass(slots=True)
class _App:
    total: Traffic = field(default_factory=Traffic)
    steps: deque[Span] = field(default_factory=deque)


class TrafficCounters:
    """Safe from any thread. An app that is busy all the time takes 120 kB, one that is idle nothing."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._apps: dict[int, _App] = {}
        self._unsaved: dict[tuple[int, int], Traffic] = {}
        self._watches: list[ReleaseCounters] = []

    def take(self, lines: bytes) -> None:
        """Counts whole lines of varnishncsa, as requests of this moment."""
        found = parse(lines)
        if not found:
            return
        now = self._clock()
        minute = int(now // MINUTE_S) * MINUTE_S
        with self._lock:
            for (app_id, release, asked), traffic in found.items():
                app = self._apps.setdefault(app_id, _App())
                app.total.add(traffic)
                _step(app.steps, now).add(traffic)
                self._unsaved.setdefault((app_id, minute), Traffic()).add(traffic)
                for watch in self._watches:
                    if asked and watch.app_id == app_id:
                        watch.releases.setdefault(release, Traffic()).add(traffic)

    def totals(self) -> dict[int, Traffic]:
        """By app id, since this tally was begun; an app that nobody has visited is not there."""
        with self._lock:
            return {app_id: _copy(app.total) for app_id, app in self._apps.items()}

    def steps(self, app_id: int, since_s: float) -> list[Span]:
        """What is known of the last ``since_s``, at most an hour, oldest first; idle times are left out."""
        now = self._clock()
        begin = now - since_s
        with self._lock:
            app = self._apps.get(app_id)
            return [
                Span(s.start, s.seconds, _copy(s.traffic))
                for s in (app.steps if app else ())
                if begin <= s.start <= now
            ]

    def unsaved(self) -> list[TrafficMinute]:
        """What ``save`` has not written yet."""
        with self._lock:
            return [TrafficMinute(app_id, start, _copy(traffic)) for (app_id, start), traffic in self._unsaved.items()]

    def save(self, write: Callable[[Sequence[TrafficMinute]], None]) -> None:
        """Hands over what has come since the last time; when ``write`` raises it stays for the next."""
        with self._lock:
            waiting, self._unsaved = self._unsaved, {}
        if not waiting:
            return
        try:
            write([TrafficMinute(app_id, start, traffic) for (app_id, start), traffic in waiting.items()])
        except BaseException:
            with self._lock:
                for key, traffic in waiting.items():
                    self._unsaved.setdefault(key, Traffic()).add(traffic)
            raise

    def restore(self, minutes: Iterable[TrafficMinute]) -> None:
        """The last hour as an earlier gitship saw it, oldest first; to be called before the first ``take``."""
        with self._lock:
            for minute in minutes:
                steps = self._apps.setdefault(minute.app_id, _App()).steps
                steps.append(Span(minute.start, MINUTE_S, minute.traffic))

    def keep_only(self, app_ids: Iterable[int]) -> None:
        """Forgets apps that are gone, and steps that are older than an hour; to be called every minute."""
        kept, now = set(app_ids), self._clock()
        with self._lock:
            self._apps = {app_id: app for app_id, app in self._apps.items() if app_id in kept}
            for app in self._apps.values():
                app.steps = _coarser(app.steps, now)

    @contextmanager
    def watching(self, app_id: int) -> Iterator[ReleaseCounters]:
        """Counts the app's releases apart from each other, from now on; read it by ``seen``."""
        watch = ReleaseCounters(app_id)
        with self._lock:
            self._watches.append(watch)
        try:
            yield watch
        finally:
            with self._lock:
                self._watches.remove(watch)

    def seen(self, watch: ReleaseCounters, release: str) -> Traffic:
        with self._lock:
            return _copy(watch.releases.get(release, Traffic()))


def parse(lines: bytes) -> dict[tuple[int, str, bool], Traffic]:
    """Whole lines in LINE_FORMAT as traffic by app id, release and whether the app was asked.

    Lines that are of no app are left out.
    """
    groups: dict[bytes, tuple[list[int], array[int]]] = {}
    log2 = math.log2
    for line in lines.split(b"\n"):
        if line[:1] in (b"", b"-", b"0"):  # no app, or one whose id is not known yet
            continue
        try:
            what, seconds, size = line.rsplit(b" ", 2)
            took, sent = float(seconds), int(size)
        except ValueError:
            continue
        group = groups.get(what)
        if group is None:
            group = groups[what] = ([0, 0], no_latency())
        counts, latency = group
        counts[0] += 1
        counts[1] += sent
        latency[0 if took < FIRST_BOUND_S else min(_LAST, 1 + int(log2(took * _SCALE) * PER_DOUBLING))] += 1
    found: dict[tuple[int, str, bool], Traffic] = {}
    for what, (counts, latency) in groups.items():
        words = what.split(b" ")
        if len(words) == 4 and words[0].isdigit() and words[2] in _HANDLINGS:
            key = (int(words[0]), words[1].decode("ascii", "replace"), words[2] in _ASKED)
            found.setdefault(key, Traffic()).add(_traffic(_HANDLINGS[words[2]], words[3], counts, latency))
    return found


def _traffic(handling: str, status: bytes, counts: list[int], latency: array[int]) -> Traffic:
    count, sent = counts
    error = count if status[:1] >= b"5" and status.isdigit() else 0
    by_front = handling in ("own", "failed")
    traffic = Traffic(
        app_errors=0 if by_front else error,
        front_errors=error if by_front else 0,
        sent_bytes=sent,
        latency=no_latency() if handling == "pipes" else latency,
    )
    setattr(traffic, handling, count)
    return traffic


def _step(steps: deque[Span], now: float) -> Traffic:
    start = now // STEP_S * STEP_S
    while steps and steps[-1].start > start:  # the clock was set back: what is in the future would never be old
        steps.pop()
    if not steps or steps[-1].start + steps[-1].seconds <= start:
        steps.append(Span(start, STEP_S, Traffic()))
    return steps[-1].traffic


def _coarser(steps: Iterable[Span], now: float) -> deque[Span]:
    """Steps of the last hour, with those that are older than FINE_S put together to minutes."""
    kept: deque[Span] = deque()
    for step in steps:
        if not now - KEPT_S <= step.start <= now:
            continue
        minute = step.start // MINUTE_S * MINUTE_S
        if step.start >= now - FINE_S:
            kept.append(step)
        elif kept and kept[-1].start == minute:
            kept[-1].traffic.add(step.traffic)
        else:
            kept.append(Span(minute, MINUTE_S, step.traffic))
    return kept


def _copy(traffic: Traffic) -> Traffic:
    made = Traffic()
    made.add(traffic)
    return made
