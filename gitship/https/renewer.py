"""Obtains, renews and installs certificates in the background."""

from __future__ import annotations

import logging
import random
import threading
import time
from datetime import UTC, datetime

from gitship.config import Settings
from gitship.errors import Conflict, GitshipError
from gitship.events import Bus, Event
from gitship.https.acme import Authority
from gitship.https.app_https import ServerHttps
from gitship.https.install_certificates import CertificateInstaller
from gitship.https.issue import span
from gitship.https.rate_limits import BudgetSpent
from gitship.https.sites import called, is_status_page, sites, word
from gitship.https.wanted_certificates import wish_of
from gitship.model import CertificateSource, Site, StoredCertificate
from gitship.per_app_errors import PerAppErrors
from gitship.store import Store

INTERVAL_S = 10.0
SETTLE_S = 1.0
CHANGED = "app"
STOP_TIMEOUT_S = 5.0
EXPIRING_S = 14 * 86400.0
SUGGESTION_EVERY_S = 6 * 3600.0
EXPIRING, DELAYED = "certificate.expiring", "certificate.delayed"
TELL_DELAY_EVERY_S = 3600.0

log = logging.getLogger("gitship.https")


class CertificateRenewer:
    """Owns one thread that looks when apps or their domains change, and every ``INTERVAL_S``."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        bus: Bus,
        showing: CertificateInstaller,
        https: ServerHttps,
        authority: Authority,
    ) -> None:
        self._settings = settings
        self._store = store
        self._bus = bus
        self._showing = showing
        self._https = https
        self._authority = authority
        self._suggested: dict[int, float] = {}  # certificate -> when the authority was asked, monotonic
        self._told_delay: dict[int, float] = {}  # site -> monotonic
        self._said = ""
        self._apart = PerAppErrors()
        self._stop = threading.Event()
        self._changes = bus.subscribe(lambda event: event.topic == CHANGED)
        self._thread = threading.Thread(target=self._loop, name="certificates", daemon=True)

    def start(self) -> None:
        """haproxy is up with every certificate when this returns, or the log says why not: http is served anyway."""
        self._bring()
        self._thread.start()

    def stop(self) -> None:
        """An order that is under way is given up: the next start asks again, as late as after any failure."""
        self._stop.set()
        self._changes.put(Event(CHANGED))  # so that it doesn't wait any longer
        if self._thread.is_alive():
            self._thread.join(STOP_TIMEOUT_S)
        self._changes.close()

    def look(self) -> bool:
        """One round. True when it was left for the next one, which begins with what has become due meanwhile."""
        self._bring()
        began, waiting = time.monotonic(), []
        with self._apart.round():
            all_sites = sites(self._store, self._settings)
            for site in all_sites:
                if self._stop.is_set():
                    return False
                with self._apart.part(site.name, "its certificates"):
                    if self._asks(site):
                        waiting.append(site)
            for site in self._https.turns(waiting):
                if self._stop.is_set() or time.monotonic() - began > INTERVAL_S:
                    break
                with self._apart.part(site.name, "its next certificate"):
                    self._issue(site)
                waiting.remove(site)
            for site in all_sites:
                with self._apart.part(site.name, "the end of its certificate"):
                    self._warn(site)
        return bool(waiting)

    def _asks(self, site: Site) -> bool:
        """True when a certificate is to be asked for."""
        if not wish_of(self._store, self._settings, site).on:
            return False
        for certificate in self._store.certificates(site.id):
            if certificate.source is CertificateSource.ACME:
                self._ask_when(certificate)
        if self._https.needs_asking(site):
            return True
        self._store.forget_certificate_attempt(site.id)  # the domain that failed is gone
        return False

    def _loop(self) -> None:
        more = False
        while not self._stop.is_set():
            if self._changes.get(0 if more else INTERVAL_S) is not None:  # perhaps the first of several changes
                self._stop.wait(SETTLE_S)
            while self._changes.get(0) is not None:
                pass
            if self._stop.is_set():
                return
            more = False
            try:
                more = self.look()
            except GitshipError as error:
                self._say(error.message)
            except Exception:
                log.exception("looking after certificates")

    def _bring(self) -> None:
        try:
            refused = self._showing.bring()
        except GitshipError as error:
            self._say(f"{error.message} ({error.hint})" if error.hint else error.message)
        except Exception as error:  # at the start, too: http is served anyway
            self._say(f"internal error: {error!r:.200}")
        else:
            self._say("; ".join(f"{app}: {error.message}" for app, error in sorted(refused.items())))

    def _issue(self, site: Site) -> None:
        try:
            if self._https.ask(site, lambda text: log.info("%s: %s", called(site), text)):
                log.info("%s: has a new certificate", called(site))
        except BudgetSpent as spent:
            self._delayed(site, spent)
        except Conflict:  # too early after a failure, which was logged
            return
        except GitshipError as error:
            log.warning("%s: no certificate: %s", called(site), error.message)

    def _delayed(self, site: Site, spent: BudgetSpent) -> None:
        """Told once in a while, however often its domains change."""
        now = time.monotonic()
        if now - self._told_delay.get(site.id, -TELL_DELAY_EVERY_S) < TELL_DELAY_EVERY_S:
            return
        self._told_delay[site.id] = now
        text = f"no new certificate: {spent.message}; the next is asked for in {span(spent.at - time.time())}"
        log.warning("%s: %s", called(site), text)
        self._bus.publish(Event(DELAYED, "" if is_status_page(site) else site.name, text=text))

    def _ask_when(self, certificate: StoredCertificate) -> None:
        now = time.monotonic()
        begun = now - random.uniform(0, SUGGESTION_EVERY_S)  # noqa: S311 (not all of them at each start)
        if now - self._suggested.setdefault(certificate.id, begun) < SUGGESTION_EVERY_S:
            return
        self._suggested[certificate.id] = now
        try:
            self._store.suggest_renewal(certificate.id, self._authority.suggestion(certificate.pem))
        except GitshipError as error:
            log.debug("no suggestion when to renew: %s", error.message)

    def _warn(self, site: Site) -> None:
        if not wish_of(self._store, self._settings, site).on:
            return
        now, own = time.time(), is_status_page(site)
        for certificate in set(self._showing.shown(site).values()):
            if not certificate.source.trusted or certificate.not_after - now > EXPIRING_S:
                continue
            if self._store.warn_of_certificate(certificate.id):
                text, app_id = self._warning(site, certificate, now), None if own else site.id
                self._bus.publish(Event(EXPIRING, "" if own else site.name, text=text, app_id=app_id))

    def _warning(self, site: Site, certificate: StoredCertificate, now: float) -> str:
        end = datetime.fromtimestamp(certificate.not_after, UTC)
        days = max(0, int((certificate.not_after - now) / 86400))
        names = ", ".join(certificate.domains[:3])
        text = f"the certificate of {called(site)} ({names}) expires in {days} days, on {end:%Y-%m-%d}"
        if certificate.source is CertificateSource.OWN:
            return f"{text}: send a new one with certs:add {word(site)}"
        attempt = self._store.certificate_attempt(site.id)
        return f"{text}: {attempt.reason}" if attempt and attempt.reason else text

    def _say(self, text: str) -> None:
        """Each sentence once, however often it is true."""
        if text and text != self._said:
            log.error("%s", text)
        self._said = text
