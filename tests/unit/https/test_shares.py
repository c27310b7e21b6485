"""One app that asks a lot is slowed down alone: others' certificates and all renewals come as ever."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from gitship.appsettings import HTTPS, HttpsWish
from gitship.errors import CertificateError, Conflict
from gitship.https import domain_check, renewer
from gitship.model import GITSHIP, App, CertificateSource
from gitship.web.warnings import _of_host
from tests.unit.https.conftest import Place

ORDERS_OF_AN_APP = 10  # in 3 hours, as the manual says
SAME_NAMES = 4  # in 7 days


def another(place: Place, name: str, *domains: str) -> App:
    app = place.store.create_app(name)
    for domain in domains:
        place.store.add_domain(app.id, domain)
    place.store.set_setting(app.id, HTTPS, HttpsWish(True))
    return app


@pytest.fixture
def www(place: Place) -> Place:
    place.store.add_domain(place.shop.id, "www.example.com")
    place.store.set_setting(place.shop.id, HTTPS, HttpsWish(True))
    return place


def orders(place: Place, word: str) -> int:
    return sum(any(word in name for name in names) for names in place.authority.asked)


def serving(place: Place, app: App) -> tuple[str, ...]:
    [found] = [c for c in place.store.certificates(app.id) if c.source is CertificateSource.ACME]
    return found.domains


def expire(place: Place, app: App) -> None:
    """It is time to renew the app's certificate."""
    [found] = [c for c in place.store.certificates(app.id) if c.source is CertificateSource.ACME]
    place.store.suggest_renewal(found.id, time.time() - 60)


def flood(place: Place, times: int) -> None:
    """Another name again and again, each below a domain of its own."""
    watch = place.keeper
    for number in range(times):
        place.store.add_domain(place.shop.id, f"n{number}.flood{number}.com")
        watch.look()


@pytest.mark.parametrize("fails", [False, True])
def test_an_app_whose_domains_change_all_the_time_is_slowed_down_alone(www: Place, fails: bool) -> None:
    www.authority.fails = {f"n{n}.flood{n}.com" for n in range(40)} if fails else set()
    with www.bus.subscribe(lambda event: event.topic == "certificate.delayed") as events:
        flood(www, 40)
        told = events.get(1)
        again = events.get(0.01)
    assert orders(www, ".com") <= ORDERS_OF_AN_APP
    if not fails:  # one that fails has to wait for that, sooner
        assert told is not None and told.app == "shop" and "one app may ask for 10 orders in 3 hours" in told.text
    assert again is None
    other = another(www, "other", "www.calm.org")
    www.keeper.look()
    assert orders(www, "calm") == 1
    assert serving(www, other) == ("www.calm.org",)


def test_it_is_told_where_people_look(www: Place) -> None:
    flood(www, 20)
    [row] = [row for row in www.https.status(www.shop) if row.host == "n19.flood19.com"]
    assert "shop has to wait: one app may ask for 10 orders in 3 hours" in row.problem
    assert row.retry_at is not None and 0 < row.retry_at - time.time() < 1100
    warning = _of_host(www.shop, row)
    assert warning is not None and "has to wait" in warning.text and warning.command == "https:status shop"
    with pytest.raises(Conflict, match="has to wait"):
        www.https.renew(www.shop, www.said.append, GITSHIP)


def test_force_is_no_way_around(www: Place) -> None:
    www.keeper.look()
    with pytest.raises(Conflict, match="may ask for 4 certificates for the very same names in 7 days"):
        for _ in range(40):
            www.https.renew(www.shop, www.said.append, GITSHIP, force=True)
    assert orders(www, "www.example.com") == SAME_NAMES


def test_names_of_one_domain_leave_room_for_those_of_other_apps(www: Place) -> None:
    """As all apps of a server have: 20 of 40 in 7 days are an app's."""
    for number in range(60):
        www.store.add_domain(www.shop.id, f"n{number}.example.com")
        www.keeper.look()
        # the 3 hours pass, the 7 days do not
        gone = [key for key in www.store.authority_levels() if key.startswith(("app/", "orders"))]
        www.store.put_authority_levels({}, gone)
    assert orders(www, "example.com") <= 21
    another(www, "other", "other.example.com")
    www.keeper.look()
    assert orders(www, "other.example.com") == 1


def test_what_serves_is_renewed_though_its_app_has_to_wait_for_new_names(www: Place) -> None:
    www.keeper.look()
    flood(www, 20)
    before, names = len(www.authority.asked), serving(www, www.shop)
    www.keeper.look()
    assert len(www.authority.asked) == before
    expire(www, www.shop)
    www.keeper.look()
    assert len(www.authority.asked) == before + 1
    assert set(www.authority.asked[-1]) == set(names)


def test_renewals_come_first_then_who_has_asked_least(www: Place) -> None:
    renewed = another(www, "renewed", "www.renewed.com")
    www.keeper.look()
    expire(www, renewed)
    www.store.add_domain(www.shop.id, "b.example.com")
    www.https.renew(www.shop, www.said.append, GITSHIP)
    www.store.add_domain(www.shop.id, "c.example.com")
    another(www, "quiet", "www.quiet.com")
    before = len(www.authority.asked)
    www.keeper.look()
    first, second, third = www.authority.asked[before:]
    assert (first, second) == (["www.renewed.com"], ["www.quiet.com"])
    assert "c.example.com" in third


def test_a_round_that_takes_long_is_left_for_what_has_become_due(www: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewer, "INTERVAL_S", -1.0)
    assert www.keeper.look() and not www.authority.asked
    monkeypatch.setattr(renewer, "INTERVAL_S", 10.0)
    assert not www.keeper.look() and len(www.authority.asked) == 1


def test_a_limit_of_its_own_names_holds_one_app_alone_whatever_it_does(www: Place) -> None:
    www.authority.hold_s = 3600
    www.keeper.look()
    www.authority.hold_s = 0
    another(www, "other", "www.calm.org")
    www.keeper.look()
    assert orders(www, "calm") == 1
    with pytest.raises(Conflict, match="the authority accepts no requests for shop for 60 min"):
        www.https.renew(www.shop, www.said.append, GITSHIP, force=True)
    assert orders(www, "www.example.com") == 1
    www.store.add_domain(www.shop.id, "new.example.org")  # other names are another matter
    www.keeper.look()
    assert orders(www, "new.example.org") == 1


def test_https_is_on_though_the_certificate_comes_later(www: Place) -> None:
    www.store.put_authority_levels({"orders": (250.0, time.time())})
    www.https.enable(www.shop, None, www.said.append, GITSHIP)
    assert "the certificate comes in 31 min" in www.said[-1] and "all apps together" in www.said[-1]
    assert www.authority.asked == []
    www.store.put_authority_levels({}, ["orders"])
    www.keeper.look()
    assert orders(www, "www.example.com") == 1


def test_domains_that_never_lead_here_are_not_looked_at_for_ever(www: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []

    def problems(hosts: list[str], answer: object) -> dict[str, str]:
        looked.extend(hosts)
        return dict.fromkeys(hosts, "it has no address in DNS")

    www.settings = replace(www.settings, https=replace(www.settings.https, check_dns=True))
    monkeypatch.setattr(domain_check, "problems", problems)
    www.store.remove_domain(www.shop.id, "www.example.com")
    for number in range(60):
        www.store.add_domain(www.shop.id, f"n{number}.example.com")
        www.keeper.look()
        www.store.remove_domain(www.shop.id, f"n{number}.example.com")
    assert 30 <= len(looked) <= 31


def test_a_failure_gives_back_what_counts_certificates(www: Place) -> None:
    www.authority.fails = {"www.example.com"}
    with pytest.raises(CertificateError):
        www.https.renew(www.shop, www.said.append, GITSHIP)
    assert set(www.store.authority_levels()) == {"orders", f"app/{www.shop.id}"}
