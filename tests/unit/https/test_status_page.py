"""HTTPS of the status page: the same as an app's, at the one host that the settings give it."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from gitship.config import Settings
from gitship.errors import CertificateError
from gitship.front.tls.certificate import read
from gitship.model import GITSHIP, STATUS_PAGE, CertificateAttempt
from gitship.routing import status_page_address
from gitship.routing.gate_settings import status_https
from tests.unit.certs import bundle
from tests.unit.https.conftest import Place

STATUS = "status.example.com"
DAY = 86400.0


def with_status(settings: Settings, domain: str = STATUS, email: str = "") -> Settings:
    web, https = replace(settings.web, domain=domain), replace(settings.https, email=email)
    return replace(settings, web=web, https=https)


@pytest.fixture
def page(place: Place) -> Place:
    place.settings = with_status(place.settings)
    return place


def enable(page: Place, hsts_s: int | None = None) -> None:
    page.https.enable(STATUS_PAGE, hsts_s, page.said.append, GITSHIP)


def sent_on(page: Place) -> tuple[str, ...]:
    gate = status_https(page.store)
    return gate.hosts if gate else ()


def test_it_gets_its_certificate_and_loses_it_by_a_command(page: Place) -> None:
    assert [row.state for row in page.https.status(STATUS_PAGE)] == ["off"]
    assert status_page_address.status_page(page.settings, page.store) == f"http://{STATUS}"
    enable(page, 3600)
    assert page.authority.asked == [[STATUS]] and page.tls.shown is not None and set(page.tls.shown) == {STATUS}
    gate = status_https(page.store)
    assert gate is not None and (gate.hosts, gate.hsts_s) == ((STATUS,), 3600)
    assert status_page_address.status_page(page.settings, page.store) == f"https://{STATUS}"
    page.https.disable(STATUS_PAGE, GITSHIP)
    assert (sent_on(page), page.tls.alive()) == ((), False)


def test_an_address_in_the_settings_is_enough_for_a_public_name(page: Place) -> None:
    page.settings = with_status(page.settings, email="ops@example.com")
    page.keeper.look()
    assert (page.authority.asked, sent_on(page)) == ([[STATUS]], (STATUS,))
    page.keeper.look()
    assert len(page.authority.asked) == 1
    page.settings = with_status(page.settings, domain="other.example.com", email="ops@example.com")
    page.keeper.look()  # another name: another certificate
    assert (page.authority.asked[1:], sent_on(page)) == ([["other.example.com"]], ("other.example.com",))


def test_a_private_name_is_signed_by_gitship_and_nobody_is_sent_there(page: Place) -> None:
    page.settings = with_status(page.settings, domain="status.localhost", email="ops@example.com")
    page.keeper.look()
    assert (page.authority.asked, page.tls.shown) == ([], {})
    enable(page)
    assert page.tls.shown is not None and set(page.tls.shown) == {"status.localhost"}
    assert (page.authority.asked, sent_on(page)) == ([], ())
    assert [row.state for row in page.https.status(STATUS_PAGE)] == ["self-signed"]


def test_without_a_host_name_it_has_none(place: Place) -> None:
    place.settings = with_status(place.settings, domain="", email="ops@example.com")
    place.keeper.look()
    assert place.authority.asked == [] and place.https.status(STATUS_PAGE) == []


def test_what_fails_changes_nothing(page: Place) -> None:
    page.authority.fails = {STATUS}
    with pytest.raises(CertificateError, match="could not verify"):
        enable(page)
    assert (sent_on(page), page.tls.alive()) == ((), False)
    page.authority.fails = set()
    enable(page)
    page.authority.fails = {STATUS}
    with pytest.raises(CertificateError):
        page.https.renew(STATUS_PAGE, page.said.append, GITSHIP, force=True)
    assert sent_on(page) == (STATUS,)


def test_its_end_is_announced_to_those_who_see_every_app(page: Place) -> None:
    page.authority.days = 10
    page.settings = with_status(page.settings, email="ops@example.com")
    page.settings = replace(page.settings, https=replace(page.settings.https, renew_before=DAY))
    with page.bus.subscribe(lambda event: event.topic == "certificate.expiring") as events:
        page.keeper.look()
        page.keeper.look()
        event = events.get(1)
        assert event is not None and event.app == "" and "the certificate of the status page" in event.text
        assert events.get(0.01) is None


def test_it_outlives_every_app_and_theirs_do_not(page: Place) -> None:
    enable(page)
    page.store.add_domain(page.shop.id, "www.example.com")
    page.enable()
    page.store.put_certificate_attempt(STATUS_PAGE.id, CertificateAttempt(1, time.time()))
    page.store.delete_app(page.shop.id)
    assert [c.app_id for c in page.store.certificates()] == [STATUS_PAGE.id]
    assert page.store.certificate_attempt(STATUS_PAGE.id) is not None


def test_ones_own_certificate_will_do(page: Place) -> None:
    assert page.https.add_certificate(STATUS_PAGE, read(bundle(STATUS)), GITSHIP) == []
    assert (page.authority.asked, sent_on(page)) == ([], (STATUS,))
    page.https.remove_certificate(STATUS_PAGE, GITSHIP)
    assert sent_on(page) == ()
