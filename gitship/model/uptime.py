"""Uptime of apps."""

from __future__ import annotations

from dataclasses import dataclass

DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class UptimeDay:
    """What is known of an app's day (UTC; ``day`` counts from 1970). Seconds; what is in none of them is not known.

    ``off_s``: its owner had stopped it or put it into maintenance, which counts neither for nor against it.
    """

    app_id: int
    day: int
    up_s: float = 0.0
    down_s: float = 0.0
    off_s: float = 0.0


def share(days: list[UptimeDay]) -> float | None:
    """How much of the time that counts it was up, 0 to 1; None when none of it is known."""
    up, down = sum(d.up_s for d in days), sum(d.down_s for d in days)
    return up / (up + down) if up + down else None
