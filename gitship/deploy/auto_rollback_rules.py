"""Decides whether a live release is bad, from its crashes and failed requests. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from gitship.model import ContainerEvent
from gitship.model.traffic import Traffic

# One crash may be chance; Docker starts a container again within 0.1, 0.2, 0.4 s, ..., so a loop is seen in seconds.
CRASHES = 3
# Fewer requests say nothing of a share: of a release that fails 10 % of them, 20 have more than 10 errors once in 10^6.
MIN_REQUESTS = 20


def trouble(events: Iterable[ContainerEvent], release: int, seen: Traffic, most_percent: float) -> str:
    """What is wrong with the release of that number; "" as long as nothing is.

    ``events`` are those of the app's containers, ``seen`` the requests that reached it; a share of errors above
    ``most_percent`` is too much, and with 0 nobody looks at it.
    """
    return crash_loop(events, release) or too_many_errors(seen, most_percent)


def crash_loop(events: Iterable[ContainerEvent], release: int) -> str:
    """``shop.web.1.v5 crashed 3 times, last with exit code 1``."""
    ended = [event for event in events if event.release == release and event.exit_code is not None]
    counts = Counter(event.container for event in ended)
    for name, count in counts.most_common(1):
        if count >= CRASHES:
            last = [event for event in ended if event.container == name][-1]
            return f"{name} crashed {count} times, last with {last.detail}"
    return ""


def too_many_errors(seen: Traffic, most_percent: float) -> str:
    """``34 of 40 requests failed (85%)``."""
    if not most_percent or seen.asked < MIN_REQUESTS or 100 * seen.errors <= most_percent * seen.asked:
        return ""
    return f"{seen.errors} of {seen.asked} requests failed ({100 * seen.errors / seen.asked:.0f}%)"
