"""HTTPS of an app: what visitors meet, and that a failure changes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace

import pytest

from gitship.errors import CertificateError, Conflict, FrontError
from gitship.front.tls.certificate import read
from gitship.front.tls.served_certificates import ServedCertificate
from gitship.https.sites import public
from gitship.model import GITSHIP, CertificateSource
from tests.unit.certs import bundle
from tests.unit.https.conftest import Place

WWW, BARE, OWN = "www.example.com", "example.com", "shop.localhost"


@pytest.fixture
def www(place: Place) -> Place:
    place.store.add_domain(place.shop.id, WWW)
    return place


@pytest.mark.parametrize(
    ("host", "wanted"),
    [
        ("example.com", True), ("*.example.com", True), ("a.b.example.co.uk", True), ("shop.localhost", False),
        ("localhost", False), ("intranet", False), ("a.local", False), ("x.test", False), ("router.lan", False),
        ("notlocalhost.com", True), ("1.home.arpa", False),
    ],
)  # fmt: skip
def test_only_names_of_the_public_dns_are_asked_for(host: str, wanted: bool) -> None:
    assert public(host) == wanted


def test_public_names_are_asked_for_and_private_ones_signed_by_gitship(www: Place) -> None:
    www.enable()
    assert www.authority.asked == [[WWW]]
    assert www.tls.shown is not None and set(www.tls.shown) == {WWW, OWN}
    assert www.sent_on() == (WWW,)  # browsers would not trust the other one
    www.https.disable(www.shop, GITSHIP)
    assert not www.tls.alive() and www.sent_on() == ()
    www.enable()
    assert (www.authority.asked, www.sent_on()) == ([[WWW]], (WWW,))  # the certificate was kept


def test_a_certificate_is_told_of_once_visitors_are_shown_it(www: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that waits for "ok" met haproxy's own certificate, once: the store has it some time before."""
    told: list[str] = []
    bring = www.tls.bring

    def observed(entries: Iterable[ServedCertificate]) -> dict[str, FrontError]:
        told.extend(row.state for row in www.https.status(www.shop) if row.host == WWW)
        return bring(entries)

    monkeypatch.setattr(www.tls, "bring", observed)
    www.enable()
    told.extend(row.state for row in www.https.status(www.shop) if row.host == WWW)
    assert (told[0], told[-1], www.store.certificates(www.shop.id) != []) == ("none", "ok", True)
    assert "ok" not in told[:-1]


def test_enabling_that_fails_leaves_all_as_it_was(www: Place) -> None:
    www.authority.fails = {WWW}
    with pytest.raises(CertificateError, match=r"could not verify www\.example\.com"):
        www.enable()
    assert not www.tls.alive() and www.sent_on() == ()
    assert [row.state for row in www.https.status(www.shop)] == ["off", "off"]


def test_a_name_that_cannot_be_proved_costs_the_others_nothing(www: Place) -> None:
    www.store.add_domain(www.shop.id, BARE)
    www.authority.fails = {BARE}
    www.enable()
    assert www.authority.asked == [[BARE, WWW], [WWW]]
    assert www.sent_on() == (WWW,)
    assert {s.host: s.state for s in www.https.status(www.shop)} == {OWN: "self-signed", WWW: "ok", BARE: "none"}
    assert BARE in www.said[0]
    www.keeper.look()
    www.keeper.look()
    assert len(www.authority.asked) == 2  # it has to wait
    www.authority.fails = set()
    www.https.renew(www.shop, www.said.append, GITSHIP, force=True)
    assert www.sent_on() == (BARE, WWW)


def test_a_renewal_that_fails_leaves_the_old_certificate(www: Place) -> None:
    www.enable()
    before = www.tls.shown
    www.authority.fails = {WWW}
    with pytest.raises(CertificateError):
        www.https.renew(www.shop, www.said.append, GITSHIP, force=True)
    assert (www.tls.shown, www.sent_on()) == (before, (WWW,))


def test_a_renewal_takes_no_name_from_the_old_certificate_before_it_must(www: Place) -> None:
    www.store.add_domain(www.shop.id, BARE)
    www.authority.days = 12  # of which it is asked again in the last four, and less is better than nothing in the last
    www.enable()
    www.authority.fails = {BARE}
    in_force = www.tls.shown
    [issued] = [c for c in www.store.certificates(www.shop.id) if c.source is CertificateSource.ACME]

    def again(days_left: float) -> None:
        at = time.time() + days_left * 86_400
        with www.store.transaction() as db:
            db.execute(
                "UPDATE certificates SET not_before = ?, not_after = ? WHERE source = 'acme'", (at - 12 * 86_400, at)
            )
        www.store.forget_certificate_attempt(www.shop.id)
        www.keeper.look()

    again(2)
    assert www.authority.asked[-1] == [BARE, WWW] and www.tls.shown == in_force
    assert www.sent_on() == (BARE, WWW)
    attempt = www.store.certificate_attempt(www.shop.id)
    assert attempt is not None and BARE in attempt.reason
    again(0.9)
    assert www.authority.asked[-2:] == [[BARE, WWW], [WWW]] and www.sent_on() == (WWW,)
    assert issued.pem not in [c.pem for c in www.store.certificates(www.shop.id)]


def test_without_need_nobody_is_asked(www: Place) -> None:
    www.enable()
    with pytest.raises(Conflict, match="is not due for renewal"):
        www.https.renew(www.shop, www.said.append, GITSHIP)
    www.https.disable(www.shop, GITSHIP)
    with pytest.raises(Conflict, match="has no HTTPS"):
        www.https.renew(www.shop, www.said.append, GITSHIP)


def test_ones_own_certificate_counts_first_and_spares_the_authority(www: Place) -> None:
    own = read(bundle(WWW, OWN))
    assert www.https.add_certificate(www.shop, own, GITSHIP) == []
    assert www.tls.shown == {WWW: own.pem, OWN: own.pem}
    assert (www.sent_on(), www.https.wanted(www.shop)) == ((OWN, WWW), [])
    with pytest.raises(Conflict, match="no domain that needs a certificate from an authority"):
        www.https.renew(www.shop, www.said.append, GITSHIP, force=True)


def test_one_that_haproxy_refuses_is_taken_back(www: Place) -> None:
    first = read(bundle(WWW))
    www.https.add_certificate(www.shop, first, GITSHIP)
    www.tls.refuses = {"shop"}
    with pytest.raises(FrontError, match="rejected the certificate"):
        www.https.add_certificate(www.shop, read(bundle(WWW, days=30)), GITSHIP)
    [kept] = [c for c in www.store.certificates(www.shop.id) if c.source is CertificateSource.OWN]
    assert kept.pem == first.pem


def test_wildcards_need_the_hook(place: Place) -> None:
    place.store.add_domain(place.shop.id, "*.example.com")
    place.enable()
    assert place.authority.asked == [] and "dns-01" in place.said[0]
    place.wildcards = True
    place.enable()
    assert (place.authority.asked, place.sent_on()) == ([["*.example.com"]], ("*.example.com",))


def test_nobody_is_sent_to_a_haproxy_that_does_not_run(www: Place) -> None:
    www.enable()
    www.tls.missing, www.tls.shown = True, None
    www.keeper.look()
    assert www.sent_on() == ()
    www.tls.missing = False
    www.keeper.look()
    assert www.sent_on() == (WWW,)


def test_an_address_of_the_settings_turns_it_on_for_public_domains(www: Place) -> None:
    www.store.create_app("intern")
    www.settings = replace(www.settings, https=replace(www.settings.https, email="ops@example.com"))
    www.keeper.look()
    assert (www.authority.asked, www.sent_on()) == ([[WWW]], (WWW,))
    assert www.https.status(www.store.app("intern"))[0].state == "off"
    www.https.disable(www.shop, GITSHIP)  # what is said by command counts more
    www.keeper.look()
    assert (len(www.authority.asked), www.sent_on()) == (1, ())
