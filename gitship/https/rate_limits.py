"""Rate limits for certificate requests: per app and for all, with a share for renewals. Pure.

The figures are Let's Encrypt's (https://letsencrypt.org/docs/rate-limits/, read in June 2025): 300 new orders per
account in 3 hours; 50 certificates per registered domain and 5 for the very same names in 7 days. Each is a bucket
that drains evenly, as theirs are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gitship.errors import Conflict
from gitship.model import WILDCARD

HOURS_3, DAYS_7 = 3 * 3600.0, 7 * 86_400.0
# Below a country's domain these are public suffixes nearly everywhere. What is taken for one wider than it is, is asked
# less; the whole list of public suffixes would be longer than gitship.
_SECOND_LEVEL = frozenset({"ac", "co", "com", "edu", "gov", "ne", "net", "or", "org"})


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A bucket of ``size`` orders that drains in ``seconds``. ``new`` of it are for new names, ``renewals`` for those
    that serve; ``told`` says whose it is. None: these do not count here.
    """

    size: int
    seconds: float
    new: int
    renewals: int | None
    told: str

    @property
    def rate(self) -> float:
        """Orders a second."""
        return self.size / self.seconds


Level = tuple[float, float]  # how full a bucket was, and when (epoch seconds)

ORDERS = RateLimit(300, HOURS_3, 200, 295, "all apps together")
DOMAIN = RateLimit(50, DAYS_7, 40, 49, "all apps together")
SAME_NAMES = RateLimit(5, DAYS_7, 4, 5, "one app")
APP_ORDERS = RateLimit(10, HOURS_3, 10, None, "one app")
APP_DOMAIN = RateLimit(20, DAYS_7, 20, None, "one app")
MAKER_ORDERS = RateLimit(60, HOURS_3, 60, None, "all apps of one key")
MAKER_DOMAIN = RateLimit(25, DAYS_7, 25, None, "all apps of one key")
APP_LOOKS = RateLimit(30, HOURS_3, 30, None, "one app")  # at DNS, for names that do not lead here


class BudgetSpent(Conflict):
    """``at`` (epoch seconds) there is room again."""

    def __init__(self, message: str, at: float) -> None:
        super().__init__(message, "gitship retries then; existing certificates are still renewed")
        self.at = at


@dataclass(frozen=True, slots=True)
class CertificateOrder:
    """An order for ``names`` of a site. ``renewal``: they serve by a certificate whose time is over.

    ``maker`` is the id of the key that made the app, None when it is not known: many apps are no way around a limit.
    """

    site_id: int
    names: tuple[str, ...]
    renewal: bool
    maker: int | None = None

    def limits(self) -> list[tuple[str, RateLimit, str]]:
        """The buckets it counts in: key, limit, and what is counted there, for people."""
        found = [
            ("orders", ORDERS, "orders"),
            (f"app/{self.site_id}", APP_ORDERS, "orders"),
            (f"names/{_digest(self.names)}", SAME_NAMES, "certificates for the very same names"),
        ]
        for domain in sorted(set(map(registered, self.names))):
            counted = f"certificates for {domain} and names below it"
            found.append((f"domain/{domain}", DOMAIN, counted))
            found.append((f"domain/{domain}/{self.site_id}", APP_DOMAIN, counted))
            if self.maker is not None:
                found.append((f"made/{self.maker}/{domain}", MAKER_DOMAIN, counted))
        if self.maker is not None:
            found.append((f"made/{self.maker}", MAKER_ORDERS, "orders"))
        return [one for one in found if not (self.renewal and one[1].renewals is None)]


def level(bucket: Level | None, limit: RateLimit, now: float) -> float:
    """How full it is. A clock that was set back drains nothing."""
    if bucket is None:
        return 0.0
    full, at = bucket
    return max(0.0, full - max(0.0, now - at) * limit.rate)


def room_at(bucket: Level | None, limit: RateLimit, now: float, *, renewal: bool = False) -> float:
    """When one more fits in, in epoch seconds; ``now`` when it does already."""
    most = limit.renewals if renewal and limit.renewals is not None else limit.new
    over = level(bucket, limit, now) + 1 - most
    return now + max(0.0, over) / limit.rate


def ensure_room(levels: Mapping[str, Level], asking: CertificateOrder, called: str, now: float) -> None:
    """Raises BudgetSpent with what is used up, and until when."""
    late = [
        (room_at(levels.get(key), limit, now, renewal=asking.renewal), limit, counted)
        for key, limit, counted in asking.limits()
    ]
    at, limit, counted = max(late, key=lambda one: one[0])
    if at <= now + 1e-6:
        return
    most = (limit.renewals if asking.renewal else None) or limit.new
    within = f"{limit.seconds / 3600:.0f} hours" if limit.seconds < DAYS_7 else f"{limit.seconds / 86_400:.0f} days"
    raise BudgetSpent(
        f"{called} has to wait: {limit.told} may ask for {most} {counted} in {within}, so that the authority's limit"
        " is not used up for others",
        at,
    )


def spent(levels: Mapping[str, Level], asking: CertificateOrder, now: float) -> dict[str, Level]:
    """The buckets that an order for it changes."""
    return {key: (level(levels.get(key), limit, now) + 1, now) for key, limit, _ in asking.limits()}


def given_back(levels: Mapping[str, Level], asking: CertificateOrder, now: float) -> dict[str, Level]:
    """There was an order, but no certificate: what counts certificates is as before."""
    orders = (ORDERS, APP_ORDERS, MAKER_ORDERS)
    return {
        key: (max(0.0, level(levels.get(key), limit, now) - 1), now)
        for key, limit, _ in asking.limits()
        if limit not in orders
    }


def limit_of(key: str) -> RateLimit:
    """By a bucket's key."""
    kind, *rest = key.split("/")
    if kind == "domain":
        return DOMAIN if len(rest) == 1 else APP_DOMAIN
    if kind == "made":
        return MAKER_ORDERS if len(rest) == 1 else MAKER_DOMAIN
    return {"orders": ORDERS, "app": APP_ORDERS, "names": SAME_NAMES, "looks": APP_LOOKS}[kind]


def registered(name: str) -> str:
    """What an owner has registered: ``example.com`` of ``*.www.example.com``, ``example.co.uk``."""
    labels = name.removeprefix(WILDCARD).lower().split(".")
    wide = len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _SECOND_LEVEL
    return ".".join(labels[-3 if wide else -2 :])


def _digest(names: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()[:32]


def least_asked(levels: Mapping[str, Level], site_ids: Sequence[int], now: float) -> list[int]:
    """Whose turn it is: who has asked least of late comes first."""
    return sorted(site_ids, key=lambda site_id: level(levels.get(f"app/{site_id}"), APP_ORDERS, now))
