"""How often an authority is asked, and when."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest

from gitship.appsettings import HTTPS, HttpsWish
from gitship.errors import CertificateError, Conflict
from gitship.https import app_https, domain_check, renewer
from gitship.https.choose_certificate import JITTER, RENEW_AT, chosen, renewal_at
from gitship.https.issue import FIRST_WAIT_S, FREE_ATTEMPTS, LONGEST_WAIT_S
from gitship.model import GITSHIP, CertificateAttempt, CertificateSource, StoredCertificate
from tests.unit.https.conftest import Place

DAY = 86400.0


@pytest.fixture
def www(place: Place) -> Place:
    place.store.add_domain(place.shop.id, "www.example.com")
    place.store.set_setting(place.shop.id, HTTPS, HttpsWish(True))
    return place


def let_pass(place: Place) -> None:
    """The wait of the last attempt is over."""
    attempt = place.store.certificate_attempt(place.shop.id)
    assert attempt is not None
    place.store.put_certificate_attempt(place.shop.id, replace(attempt, next_at=time.time() - 1))


def test_waits_double_and_are_kept_over_restarts(www: Place) -> None:
    www.authority.fails = {"www.example.com"}
    waits = []
    for number in range(1, 11):
        www.keeper.look()
        www.keeper.look()  # too early
        assert len(www.authority.asked) == number
        attempt = www.store.certificate_attempt(www.shop.id)
        assert attempt is not None and attempt.failures == number
        waits.append(attempt.next_at - time.time())
        let_pass(www)
    for number, wait in enumerate(waits):
        least = min(FIRST_WAIT_S * 2**number, LONGEST_WAIT_S)
        assert least - 5 < wait < least * 1.2 + 5


def test_success_ends_the_waiting(www: Place) -> None:
    www.authority.fails = {"www.example.com"}
    www.keeper.look()
    let_pass(www)
    www.authority.fails = set()
    www.keeper.look()
    assert www.store.certificate_attempt(www.shop.id) is None


def test_a_gitship_that_is_killed_while_it_asks_does_not_ask_at_each_start(www: Place) -> None:
    class Killed(BaseException):
        pass

    def killed(names: object) -> str:
        www.authority.asked.append([])
        raise Killed

    www.authority.obtain = killed  # type: ignore[method-assign]
    with pytest.raises(Killed):
        www.keeper.look()
    www.keeper.look()
    assert len(www.authority.asked) == 1


def test_a_limit_of_the_authority_holds_for_every_app_and_for_everybody(www: Place) -> None:
    www.authority.hold_s = www.authority.hold_all_s = 3600
    www.keeper.look()
    www.authority.hold_s = www.authority.hold_all_s = 0
    other = www.store.create_app("other")
    www.store.add_domain(other.id, "other.example.com")
    www.store.set_setting(other.id, HTTPS, HttpsWish(True))
    www.keeper.look()
    with pytest.raises(Conflict, match="the authority accepts no requests for 60 min"):
        www.https.renew(other, www.said.append, GITSHIP, force=True)
    assert len(www.authority.asked) == 1
    www.store.hold_authority(time.time() - 1)
    www.keeper.look()
    assert len(www.authority.asked) == 2  # the first app still has its own wait


def test_a_person_who_mends_dns_may_try_again_some_times(www: Place) -> None:
    www.authority.fails = {"www.example.com"}
    for _ in range(FREE_ATTEMPTS + 1):
        with pytest.raises(CertificateError):
            www.https.renew(www.shop, www.said.append, GITSHIP)
    with pytest.raises(Conflict, match="attempts have failed, the next is in"):
        www.https.renew(www.shop, www.said.append, GITSHIP)
    assert len(www.authority.asked) == FREE_ATTEMPTS + 1
    with pytest.raises(CertificateError):
        www.https.renew(www.shop, www.said.append, GITSHIP, force=True)


def test_domains_that_lead_elsewhere_are_told_and_never_asked_for(www: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    www.settings = replace(www.settings, https=replace(www.settings.https, check_dns=True))
    looked: list[list[str]] = []

    def problems(hosts: list[str], answer: object) -> dict[str, str]:
        looked.append(list(hosts))
        return {host: "it has no address in DNS" for host in hosts if host == "www.example.com"}

    monkeypatch.setattr(domain_check, "problems", problems)
    www.keeper.look()
    www.keeper.look()
    assert (www.authority.asked, looked) == ([], [["www.example.com"]])
    attempt = www.store.certificate_attempt(www.shop.id)
    assert attempt is not None and attempt.failures == 0 and "no address in DNS" in attempt.reason
    www.store.add_domain(www.shop.id, "example.com")
    www.https.renew(www.shop, www.said.append, GITSHIP)
    assert www.authority.asked == [["example.com"]]
    assert www.said == ["www.example.com is left out: it has no address in DNS"]
    www.keeper.look()  # the name that is missing is looked at once, then waits
    www.keeper.look()
    assert (len(looked), len(www.authority.asked)) == (3, 1)


def test_a_change_of_domains_is_worth_another_attempt(www: Place) -> None:
    www.authority.fails = {"www.example.com"}
    www.keeper.look()
    www.store.add_domain(www.shop.id, "example.com")
    www.keeper.look()
    assert www.authority.asked[1:] == [["example.com", "www.example.com"], ["example.com"]]
    www.keeper.look()
    assert len(www.authority.asked) == 3
    www.store.remove_domain(www.shop.id, "www.example.com")
    www.keeper.look()
    assert len(www.authority.asked) == 3 and www.store.certificate_attempt(www.shop.id) is None


def test_two_who_want_the_same_certificate_get_it_by_one_order(www: Place) -> None:
    inside, go_on = threading.Event(), threading.Event()
    obtain = www.authority.obtain

    def slowly(names: Sequence[str]) -> str:
        inside.set()
        assert go_on.wait(10)
        return obtain(names)

    www.authority.obtain = slowly  # type: ignore[method-assign]
    https = www.https
    workers = [threading.Thread(target=https.ask, args=(www.shop, www.said.append), name=f"ask-{n}") for n in range(2)]
    for worker in workers:
        worker.start()
    assert inside.wait(10)
    meanwhile = https.status(www.shop)
    go_on.set()
    for worker in workers:
        worker.join(10)
    assert [(row.problem, row.retry_at) for row in meanwhile] == [("", None)] * 2  # what is under way has not failed
    assert www.authority.asked == [["www.example.com"]]


def test_a_lapse_of_dns_costs_a_certificate_no_name(www: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    www.keeper.look()
    www.settings = replace(www.settings, https=replace(www.settings.https, check_dns=True))
    monkeypatch.setattr(domain_check, "problems", lambda hosts, answer: dict.fromkeys(hosts, "gone"))
    www.https.renew(www.shop, www.said.append, GITSHIP, force=True)
    assert www.authority.asked == [["www.example.com"]] * 2


def test_names_beyond_what_a_certificate_holds_are_left_out(www: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_https, "MOST_NAMES", 2)
    for name in ("c.example.com", "b.example.com"):
        www.store.add_domain(www.shop.id, name)
    www.https.renew(www.shop, www.said.append, GITSHIP)
    assert www.authority.asked == [["b.example.com", "c.example.com"]]
    assert "www.example.com left out" in www.said[0]
    www.keeper.look()  # nobody asks again and again for what does not fit
    www.store.add_domain(www.shop.id, "a.example.com")  # nor in place of what is served
    www.keeper.look()
    assert len(www.authority.asked) == 1
    problems = {row.host: row.problem for row in www.https.status(www.shop) if row.problem}
    assert problems.keys() == {"a.example.com", "www.example.com"}
    assert "your own certificate" in problems["www.example.com"]


def stored(**more: object) -> StoredCertificate:
    made = StoredCertificate(1, 1, CertificateSource.ACME, ("a.example.com",), "CA", 0.0, 90 * DAY, "PEM")
    return replace(made, **more)  # type: ignore[arg-type]


def test_renewal_is_at_a_third_of_the_life_left_with_a_jitter_that_stays() -> None:
    times = {renewal_at(stored(pem=f"{n}"), 0) for n in range(50)}
    assert len(times) > 20
    assert min(times) >= 90 * DAY * (1 - RENEW_AT * (1 + JITTER)) and max(times) <= 60 * DAY
    assert renewal_at(stored(), 0) == renewal_at(stored(), 0)
    assert 90 * DAY - 7 * DAY * (1 + JITTER) <= renewal_at(stored(), 7 * DAY) <= 83 * DAY
    assert (
        renewal_at(stored(not_after=6 * DAY), 0) - 0 > 4 * DAY or renewal_at(stored(not_after=6 * DAY), 0) > 3.5 * DAY
    )


def test_what_the_authority_suggests_counts_but_never_until_it_is_too_late() -> None:
    assert renewal_at(stored(suggested_at=10 * DAY), 0) == 10 * DAY
    assert renewal_at(stored(suggested_at=70 * DAY), 0) == 70 * DAY
    assert renewal_at(stored(suggested_at=500 * DAY), 0) < 90 * DAY


def test_a_renewal_that_the_authority_wishes_for_is_made(www: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewer, "SUGGESTION_EVERY_S", 0.0)
    www.keeper.look()
    www.authority.suggested = time.time() - 60
    www.keeper.look()
    assert len(www.authority.asked) == 2


def test_valid_certificates_come_before_expired_ones_and_ones_own_before_others() -> None:
    own = stored(id=2, source=CertificateSource.OWN, not_after=5.0)
    acme = stored(not_after=50.0)
    mine = stored(id=3, source=CertificateSource.SELF_SIGNED, domains=("*.example.com",), not_after=60.0)
    hosts = ["a.example.com", "b.example.com", "c.net"]
    assert {h: c.id for h, c in chosen([mine, acme, own], hosts, 1.0).items()} == {hosts[0]: 2, hosts[1]: 3}
    assert chosen([mine, acme, own], hosts, 10.0)[hosts[0]].id == 1


@pytest.mark.parametrize(("days", "announced"), [(13.9, "expires in 13 days"), (14.1, "")])
def test_the_end_of_a_certificate_is_announced_once_14_days_before(www: Place, days: float, announced: str) -> None:
    www.authority.days = days
    www.settings = replace(www.settings, https=replace(www.settings.https, renew_before=DAY))
    with www.bus.subscribe(lambda event: event.topic == "certificate.expiring") as events:
        www.keeper.look()
        www.keeper.look()
        event = events.get(1 if announced else 0.01)
        assert (event is not None) == bool(announced)
        assert event is None or (event.app == "shop" and announced in event.text)
        assert events.get(0.01) is None


def test_what_was_tried_goes_with_the_app(www: Place) -> None:
    www.keeper.look()
    app = www.shop
    www.store.put_certificate_attempt(app.id, CertificateAttempt(1, 0.0))
    www.store.delete_app(app.id)
    assert www.store.certificates() == [] and www.store.certificate_attempt(app.id) is None
    www.store.put_certificate_attempt(app.id, CertificateAttempt(1, 0.0))
    assert www.store.certificate_attempt(app.id) is None
