"""Decides whether a canary is promoted or aborted, from its traffic figures. Pure.

Only requests that reach the app count: what the cache answers says nothing of a release.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from gitship.model.traffic import Traffic

DEFAULT_WINDOW_S = 120.0
LEAST_WINDOW_S, MOST_WINDOW_S = 5.0, 3600.0
LEAST_PERCENT, MOST_PERCENT = 0.1, 90.0

# At the end of the window so many requests are enough to judge by; with fewer it goes on, up to MOST_WINDOWS of them.
# Of a release that fails 20 % of its requests, 50 have fewer than MIN_ERRORS errors once in 800 times.
MIN_REQUESTS = 50
MOST_WINDOWS = 3
# Aborted at any time: so many errors, and a share of errors above the old release's by a margin and by a factor.
MIN_ERRORS = 3
ERROR_MARGIN = 0.02
ERROR_FACTOR = 2.0
# Aborted at the end: a p95 above the old release's by a factor and by a margin. Times are known to within 26 %.
SLOWER_FACTOR = 2.0
SLOWER_MARGIN_S = 0.05

EXAMPLE = '"5%" or "5% for 2m"'
_PLAN = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,2})?) ?%(?: for ([0-9]{1,4}) ?(s|m|h))?")
_SECONDS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True, slots=True)
class CanaryPlan:
    """``percent`` of the visitors have the new release for ``window_s`` before all do."""

    percent: float
    window_s: float = DEFAULT_WINDOW_S

    @property
    def most_s(self) -> float:
        """How long it can take until there is a verdict."""
        return MOST_WINDOWS * self.window_s

    def __str__(self) -> str:
        unit, size = next((u, s) for u, s in (("h", 3600), ("m", 60), ("s", 1)) if self.window_s % s == 0)
        return f"{self.percent:g}% of visitors for {self.window_s / size:g}{unit}"


class CanaryVerdict(StrEnum):
    WAIT = "wait"
    PROMOTE = "promote"
    ABORT = "abort"


@dataclass(frozen=True, slots=True)
class CanaryJudgement:
    """``reason`` is a sentence for people; empty while it is to wait."""

    verdict: CanaryVerdict
    reason: str = ""


WAIT = CanaryJudgement(CanaryVerdict.WAIT)


def parse(text: str) -> CanaryPlan:
    """A plan from EXAMPLE. Raises ValueError that says what it must be."""
    match = _PLAN.fullmatch(text.strip().lower())
    if match is None:
        raise ValueError(f"must be a share of visitors, {EXAMPLE}")
    percent = float(match[1])
    window_s = float(match[2]) * _SECONDS[match[3]] if match[2] else DEFAULT_WINDOW_S
    if not LEAST_PERCENT <= percent <= MOST_PERCENT:
        raise ValueError(f"must be from {LEAST_PERCENT:g}% to {MOST_PERCENT:g}% of the visitors")
    if not LEAST_WINDOW_S <= window_s <= MOST_WINDOW_S:
        raise ValueError(f"must last from {LEAST_WINDOW_S:g}s to {MOST_WINDOW_S / 3600:g}h")
    return CanaryPlan(percent, window_s)


def judge(plan: CanaryPlan, elapsed_s: float, old: Traffic, new: Traffic) -> CanaryJudgement:
    """The verdict after ``elapsed_s``, by what the app's releases have answered since the canary began."""
    if new.errors >= MIN_ERRORS:
        ours, theirs = _error_share(new), _error_share(old)
        if ours > theirs + ERROR_MARGIN and ours > theirs * ERROR_FACTOR:
            reason = f"{new.errors} of {new.asked} requests failed ({_percent(ours)}; {_percent(theirs)} before)"
            return CanaryJudgement(CanaryVerdict.ABORT, reason)
    if elapsed_s < plan.window_s:
        return WAIT
    if new.asked < MIN_REQUESTS:
        if elapsed_s < plan.most_s:
            return WAIT
        return CanaryJudgement(CanaryVerdict.PROMOTE, f"only {new.asked} requests, no worse than before")
    if old.asked >= MIN_REQUESTS and (slower := _slower(old.percentile(0.95), new.percentile(0.95))):
        return CanaryJudgement(CanaryVerdict.ABORT, slower)
    return CanaryJudgement(CanaryVerdict.PROMOTE, f"{new.asked} requests, no worse than before")


def described(traffic: Traffic) -> str:
    """``412 requests, 0.2% failed, p95 12 ms``."""
    p95_s = traffic.percentile(0.95)
    time = "" if p95_s is None else f", p95 {1000 * p95_s:.0f} ms"
    return f"{traffic.asked} requests, {_percent(_error_share(traffic))} failed{time}"


def _slower(old_s: float | None, new_s: float | None) -> str:
    """By how much, or an empty text."""
    if old_s is None or new_s is None or new_s <= old_s * SLOWER_FACTOR or new_s <= old_s + SLOWER_MARGIN_S:
        return ""
    return f"it is slower: p95 {1000 * new_s:.0f} ms, {1000 * old_s:.0f} ms before"


def _error_share(traffic: Traffic) -> float:
    return traffic.errors / traffic.asked if traffic.asked else 0.0


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"
