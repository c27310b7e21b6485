"""Orders apps by traffic, for the start of a Varnish with many apps."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from gitship.store import Store
from gitship.store.traffic import HOUR_S

LOOKED_AT_S = 3 * HOUR_S  # 3000 rows at 1000 apps, 0.1 s


def busiest_slugs(store: Store, now: Callable[[], float] = time.time) -> list[str]:
    """Slugs of the apps with visitors in the last hours, most requests first."""
    requests: Counter[int] = Counter()
    for app_id, _, traffic in store.traffic(HOUR_S, now() - LOOKED_AT_S):
        requests[app_id] += traffic.requests
    slugs = {app.id: app.slug for app in store.apps()}
    return [slugs[app_id] for app_id, _ in requests.most_common() if app_id in slugs]
