"""The arithmetic of what may be asked of an authority, against buckets as the authority itself keeps them."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gitship.https import rate_limits
from gitship.https.rate_limits import (
    APP_ORDERS,
    DOMAIN,
    MAKER_DOMAIN,
    MAKER_ORDERS,
    ORDERS,
    SAME_NAMES,
    BudgetSpent,
    CertificateOrder,
    Level,
    RateLimit,
)
from tests.examples import examples

START = 1_800_000_000.0


class TheirBucket:
    """As Let's Encrypt describes its own: so many tokens, which come back evenly."""

    def __init__(self, limit: RateLimit) -> None:
        self.limit, self.tokens, self.at = limit, float(limit.size), START

    def take(self, now: float) -> bool:
        self.tokens = min(float(self.limit.size), self.tokens + (now - self.at) * self.limit.rate)
        self.at = now
        self.tokens -= 1
        return self.tokens >= -1e-6


class Place:
    """What gitship admits is asked, and the authority counts."""

    def __init__(self) -> None:
        self.levels: dict[str, Level] = {}
        self.theirs: dict[tuple[str, str], TheirBucket] = {}
        self.refused = 0

    def ask(self, asking: CertificateOrder, now: float) -> bool:
        try:
            rate_limits.ensure_room(self.levels, asking, "shop", now)
        except BudgetSpent as error:
            assert error.at > now
            return False
        self.levels |= rate_limits.spent(self.levels, asking, now)
        domains = {rate_limits.registered(name) for name in asking.names}
        counted = [("orders", "", ORDERS), *(("domain", d, DOMAIN) for d in domains)]
        counted.append(("names", " ".join(sorted(asking.names)), SAME_NAMES))
        for kind, what, limit in counted:
            bucket = self.theirs.setdefault((kind, what), TheirBucket(limit))
            self.refused += not bucket.take(now)
        return True


OTHERS = [f"{n}.net" for n in range(40)]
APPS = st.integers(1, 60)
NAMES = st.lists(
    st.sampled_from([f"{n}.{d}" for n in "abc" for d in ("one.com", "two.co.uk", *OTHERS)]), min_size=1, max_size=4
)
STEPS = st.lists(
    st.tuples(APPS, NAMES, st.booleans(), st.sampled_from([0.0, 1.0, 60.0, 3600.0, 40_000.0]), st.integers(1, 40)),
    max_size=60,
)


@given(STEPS)
@examples(80)
def test_the_authority_never_has_to_refuse(steps: list[tuple[int, list[str], bool, float, int]]) -> None:
    place, now = Place(), START
    for app, names, renewal, seconds, times in steps:
        now += seconds
        for _ in range(times):
            if not place.ask(CertificateOrder(app, tuple(sorted(set(names))), renewal), now):
                break  # at the same time the answer is the same
    assert place.refused == 0


FLOOD = [(app, [f"a.{app % 40}.net"], False, 0.0, 10) for app in range(1, 60)]


@given(STEPS, NAMES)
@example(FLOOD, ["a.one.com"])
@example(FLOOD, ["a.5.net"])
@example([(app, ["a.one.com"], False, 0.0, 20) for app in range(1, 10)], ["a.one.com"])
@examples(80)
def test_a_renewal_always_has_room_whatever_others_ask_for(
    steps: list[tuple[int, list[str], bool, float, int]], names: list[str]
) -> None:
    """New names of others never use up what a renewal needs."""
    place, now = Place(), START
    mine = CertificateOrder(99, tuple(sorted(set(names))), renewal=True)
    for number, (app, others, _, seconds, times) in enumerate(steps):
        now += seconds
        for again in range(times):
            different = tuple(sorted({f"n{number}-{again}.{name}" for name in others}))
            if not place.ask(CertificateOrder(app, different, renewal=False), now):
                break
    assert place.ask(mine, now)


@given(st.integers(1, 500), st.floats(0, 3600))
@example(2000, 0.0)
@example(2000, 36.0)
@examples(60)
def test_one_app_is_slowed_down_alone(times: int, every_s: float) -> None:
    place, now, admitted = Place(), START, 0
    for number in range(times):
        now += every_s
        admitted += place.ask(CertificateOrder(1, (f"n{number}.flood{number}.com",), renewal=False), now)
    assert admitted <= APP_ORDERS.new + times * every_s * APP_ORDERS.rate + 1
    assert place.ask(CertificateOrder(2, ("www.calm.com",), renewal=False), now)


def test_many_apps_of_one_key_are_no_way_around_it() -> None:
    place = Place()
    for app in range(1, 300):
        place.ask(CertificateOrder(app, (f"n{app}.flood{app}.com",), renewal=False, maker=7), START)
    assert place.levels["orders"][0] == MAKER_ORDERS.new
    for app in range(300, 400):
        place.ask(CertificateOrder(app, (f"n{app}.shared.com",), renewal=False, maker=8), START)
    assert place.levels["domain/shared.com"][0] == MAKER_DOMAIN.new
    assert place.ask(CertificateOrder(500, ("www.calm.com", "www.shared.com"), renewal=False, maker=9), START)
    assert place.ask(CertificateOrder(1, ("n1.flood1.com",), renewal=True, maker=7), START), "what serves is renewed"


@given(st.integers(1, 400))
@examples(50)
def test_when_there_is_room_again_is_told_exactly(times: int) -> None:
    levels: dict[str, Level] = {}
    asking = CertificateOrder(1, ("www.example.com",), renewal=False)
    for _ in range(times):
        try:
            rate_limits.ensure_room(levels, asking, "shop", START)
            levels |= rate_limits.spent(levels, asking, START)
        except BudgetSpent as error:
            with pytest.raises(BudgetSpent):
                rate_limits.ensure_room(levels, asking, "shop", error.at - 1)
            rate_limits.ensure_room(levels, asking, "shop", error.at)


def test_what_became_no_certificate_counts_as_an_order_alone() -> None:
    levels: dict[str, Level] = {}
    asking = CertificateOrder(1, ("www.example.com",), renewal=False)
    levels |= rate_limits.spent(levels, asking, START)
    levels |= rate_limits.given_back(levels, asking, START)
    full = {key for key, (level, _) in levels.items() if level}
    assert full == {"orders", "app/1"}


def test_a_clock_that_is_set_back_drains_nothing() -> None:
    assert rate_limits.level((5.0, START), APP_ORDERS, START - 1e6) == 5.0


def test_words_name_the_limit_and_whose_it_is() -> None:
    levels = {"app/1": (10.0, START)}
    with pytest.raises(BudgetSpent, match="shop has to wait: one app may ask for 10 orders in 3 hours") as told:
        rate_limits.ensure_room(levels, CertificateOrder(1, ("a.example.com",), renewal=False), "shop", START)
    assert told.value.at == pytest.approx(START + 1080)
    levels = {"domain/example.com": (40.0, START)}
    with pytest.raises(BudgetSpent, match=r"all apps together may ask for 40 certificates for example\.com"):
        rate_limits.ensure_room(levels, CertificateOrder(1, ("a.example.com",), renewal=False), "shop", START)


def test_every_key_has_its_limit() -> None:
    for key, limit, _ in CertificateOrder(1, ("a.example.com", "b.example.org"), renewal=False, maker=7).limits():
        assert rate_limits.limit_of(key) is limit


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("www.example.com", "example.com"),
        ("*.www.Example.com", "example.com"),
        ("a.b.example.co.uk", "example.co.uk"),
        ("example.de", "example.de"),
        ("co.uk.example.io", "example.io"),
    ],
)
def test_registered_domains(name: str, domain: str) -> None:
    assert rate_limits.registered(name) == domain


def test_who_has_asked_least_comes_first() -> None:
    levels = {"app/1": (3.0, START), "app/2": (1.0, START)}
    assert rate_limits.least_asked(levels, [1, 2, 3], START) == [3, 2, 1]
