"""Parser of durations: ``30s``, ``10m``, ``2h``, ``1d``."""

from __future__ import annotations

import re

from gitship.errors import UsageError
from gitship.front.visitor_limits import MOST_PER_S

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def typed_seconds(text: str, digits: int) -> int | None:
    """None when ``text`` is none, or has a number of more than ``digits`` digits; the caller knows what to say."""
    match = re.fullmatch(rf"([0-9]{{1,{digits}}})([smhd])", text)
    return int(match[1]) * _UNITS_S[match[2]] if match else None


def rate_seconds(text: str) -> int:
    """``10s``, ``1m``. Raises UsageError."""
    value = typed_seconds(text, 5)
    if not value or value > MOST_PER_S:
        raise UsageError(f"'{text[:80]}' is not a period", "for instance 10s, 1m or 1h; 1s to 1d")
    return value
