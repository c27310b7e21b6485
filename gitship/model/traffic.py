"""Traffic figures of an app: counts and response times. Pure."""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field

# Answer times are counted in buckets, each a cube root of 2 (26 %) wider than the one before: from 0.1 ms to 166 s.
LATENCY_BUCKETS = 64
FIRST_BOUND_S = 0.0001
PER_DOUBLING = 3
# The upper bound of each bucket; the last one has none.
LATENCY_BOUNDS_S = tuple(FIRST_BOUND_S * 2 ** (n / PER_DOUBLING) for n in range(LATENCY_BUCKETS - 1))

COUNTS = ("hits", "stale", "misses", "passes", "pipes", "own", "failed", "app_errors", "front_errors", "sent_bytes")


def no_latency() -> array[int]:
    return array("Q", bytes(8 * LATENCY_BUCKETS))


@dataclass(slots=True)
class Traffic:
    """Each request is counted once among the first seven.

    ``hits`` are fresh from the cache, ``stale`` old ones from it; the app answered ``misses`` (what may be kept) and
    ``passes``; ``pipes`` are websockets, counted when they end. ``own`` are Varnish's own answers, which the app never
    saw (redirects, sign-in, maintenance), ``failed`` its error page because no container answered. ``app_errors`` are
    statuses from 500 on that the app sent, ``front_errors`` those made by Varnish. ``latency`` counts the times from
    the request to the answer's first byte, by LATENCY_BOUNDS_S, of all but pipes.
    """

    hits: int = 0
    stale: int = 0
    misses: int = 0
    passes: int = 0
    pipes: int = 0
    own: int = 0
    failed: int = 0
    app_errors: int = 0
    front_errors: int = 0
    sent_bytes: int = 0
    latency: array[int] = field(default_factory=no_latency)

    @property
    def requests(self) -> int:
        return self.hits + self.stale + self.misses + self.passes + self.pipes + self.own + self.failed

    @property
    def asked(self) -> int:
        """Requests that reached the app, or would have if it had answered."""
        return self.misses + self.passes + self.failed

    @property
    def errors(self) -> int:
        """Answers with a status from 500 on, whoever made them."""
        return self.app_errors + self.front_errors

    @property
    def hit_ratio(self) -> float | None:
        """The share that the cache answered of what is for the app; None without any."""
        whole = self.hits + self.stale + self.asked
        return (self.hits + self.stale) / whole if whole else None

    @property
    def error_ratio(self) -> float | None:
        return self.errors / self.requests if self.requests else None

    def add(self, other: Traffic) -> None:
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        own, more = self.latency, other.latency
        for number, count in enumerate(more):
            if count:
                own[number] += count

    def percentile(self, share: float) -> float | None:
        """Seconds within which ``share`` (0 to 1) of the answers began, to within a bucket; None without any."""
        whole = sum(self.latency)
        if not whole:
            return None
        left = share * whole
        for number, count in enumerate(self.latency):
            if count and left <= count:
                low = LATENCY_BOUNDS_S[number - 1] if number else 0.0
                high = LATENCY_BOUNDS_S[number] if number < len(LATENCY_BOUNDS_S) else low
                return low + (high - low) * left / count
            left -= count
        return LATENCY_BOUNDS_S[-1]

    def to_json(self) -> str:
        """Short: what is 0 is left out."""
        counts = {name: value for name in COUNTS if (value := getattr(self, name))}
        return json.dumps({**counts, "latency": {str(n): count for n, count in enumerate(self.latency) if count}})

    @classmethod
    def from_json(cls, text: str) -> Traffic:
        values = json.loads(text)
        latency = no_latency()
        for number, count in values.pop("latency").items():
            latency[int(number)] = count
        return cls(latency=latency, **values)


@dataclass(frozen=True, slots=True)
class Span:
    """Traffic from ``start`` (epoch seconds) on, for ``seconds``."""

    start: float
    seconds: float
    traffic: Traffic


def bucket(seconds: float) -> int:
    """Which bucket an answer time is counted in."""
    if seconds < FIRST_BOUND_S:
        return 0
    return min(LATENCY_BUCKETS - 1, 1 + int(math.log2(seconds / FIRST_BOUND_S) * PER_DOUBLING))


def together(traffics: Iterable[Traffic]) -> Traffic:
    whole = Traffic()
    for traffic in traffics:
        whole.add(traffic)
    return whole
