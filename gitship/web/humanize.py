"""Formats ages, durations and sizes."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from gitship.model.traffic import Traffic

_STEPS = ((60, 1, "s"), (3600, 60, "min"), (86400, 3600, "h"), (float("inf"), 86400, "d"))
_SIZES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def ago(then: float, now: float) -> str:
    """``3 min ago``; both in epoch seconds. A clock that was set back gives ``just now``, never a negative age."""
    seconds = now - then
    if seconds < 5:
        return "just now"
    unit, name = next((unit, name) for limit, unit, name in _STEPS if seconds < limit)
    return f"{int(seconds // unit)} {name} ago"


def until(then: float, now: float) -> str:
    """``in 6 d``, or ``3 min ago`` when it is past."""
    if then - now < 5:
        return ago(then, now)
    return f"in {ago(2 * now - then, now).removesuffix(' ago')}"


def exact(then: float) -> str:
    """UTC to the second, as ``<time datetime>`` wants it: ``2026-01-02T03:04:05Z``."""
    return datetime.fromtimestamp(then, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def duration(seconds: float) -> str:
    """``0.4s``, ``12.3s``, ``3m 05s`` or ``1h 02m``."""
    if seconds < 59.95:
        return f"{max(seconds, 0):.1f}s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02d}m"


def quick(seconds: float) -> str:
    """An answer's time: ``4.2 ms``, ``84 ms``, ``1.3 s``."""
    if seconds >= 0.9995:
        return f"{seconds:.1f} s"
    return f"{1000 * seconds:.1f} ms" if seconds < 0.00995 else f"{1000 * seconds:.0f} ms"


def times(traffic: Traffic) -> str:
    """How fast it was answered: ``p50 4.2 ms, p95 84 ms, p99 1.3 s``; "" when nothing was."""
    found = [(share, traffic.percentile(share / 100)) for share in (50, 95, 99)]
    return ", ".join(f"p{share} {quick(seconds)}" for share, seconds in found if seconds is not None)


def rate(per_s: float) -> str:
    """How often: ``120/s``, ``0.3/s``, or by the minute what would be 0.0."""
    if per_s >= 9.95:
        return f"{per_s:.0f}/s"
    if per_s >= 0.0995 or not per_s:
        return f"{per_s:.1f}/s" if per_s else "0/s"
    return f"{60 * per_s:.1f}/min" if per_s >= 0.05 / 60 else f"{3600 * per_s:.1f}/h"


def percent(share: float) -> str:
    """Rounded down to a hundredth, so that only the whole is ``100 %``."""
    return f"{math.floor(10_000 * share) / 100:g} %"


def size(count: int) -> str:
    """``84 MB``; 1000 to the step as in the push output, one decimal below ten."""
    for unit, name in _SIZES:
        if abs(count) >= unit:
            value = count / unit
            return f"{value:.1f} {name}" if abs(value) < 10 else f"{value:.0f} {name}"
    return f"{count} B"


def clock(then: float) -> str:
    """The time of day, UTC, to the second."""
    return datetime.fromtimestamp(then, UTC).strftime("%H:%M:%S")
