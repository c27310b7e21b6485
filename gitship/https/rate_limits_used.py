"""Usage of the certificate rate limits, kept in the store."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from gitship.https import rate_limits
from gitship.https.rate_limits import APP_LOOKS, BudgetSpent, CertificateOrder, Level
from gitship.store import Store


class RateLimitsUsed:
    """The caller sees to it that one order is made at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def ensure_room(self, asking: CertificateOrder, called: str) -> None:
        """Raises BudgetSpent."""
        rate_limits.ensure_room(self._store.authority_levels(), asking, called, time.time())

    def ensure_looks(self, site_id: int, called: str) -> None:
        """For a look at DNS, which keeps others waiting, too. Raises BudgetSpent."""
        now = time.time()
        at = rate_limits.room_at(self._store.authority_levels().get(f"looks/{site_id}"), APP_LOOKS, now)
        if at > now:
            raise BudgetSpent(
                f"{called} has to wait: its domains were checked too often and do not resolve to this server", at
            )

    def order(self, asking: CertificateOrder) -> None:
        """To be written down before the authority is asked."""
        levels, now = self._store.authority_levels(), time.time()
        self._put(levels, rate_limits.spent(levels, asking, now), now)

    def no_certificate(self, asking: CertificateOrder) -> None:
        """Nothing came of an order."""
        levels, now = self._store.authority_levels(), time.time()
        self._put(levels, rate_limits.given_back(levels, asking, now), now)

    def looked(self, site_id: int) -> None:
        levels, now, key = self._store.authority_levels(), time.time(), f"looks/{site_id}"
        self._put(levels, {key: (rate_limits.level(levels.get(key), APP_LOOKS, now) + 1, now)}, now)

    def turns(self, site_ids: Sequence[int]) -> list[int]:
        """Whose turn it is: who has asked least of late comes first."""
        return rate_limits.least_asked(self._store.authority_levels(), site_ids, time.time())

    def _put(self, levels: Mapping[str, Level], changed: Mapping[str, Level], now: float) -> None:
        after = {**levels, **changed}
        empty = [key for key, bucket in after.items() if rate_limits.level(bucket, rate_limits.limit_of(key), now) == 0]
        self._store.put_authority_levels({k: v for k, v in changed.items() if k not in empty}, empty)
