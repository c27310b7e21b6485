"""HTTPS operations that `commands` and `web` call."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from gitship.config import Settings
from gitship.errors import Conflict, GitshipError, NotFound
from gitship.front.tls.certificate import Certificate, covers
from gitship.https.choose_certificate import missing, renewal_at
from gitship.https.install_certificates import CertificateInstaller
from gitship.https.issue import Issuer, Say, span
from gitship.https.rate_limits import BudgetSpent
from gitship.https.sites import called, hosts_of, is_status_page, public, word
from gitship.https.wanted_certificates import WantedCertificate, store_wish, wish_of
from gitship.model import WILDCARD, App, CertificateSource, Identity, Site, StoredCertificate
from gitship.store import Store

MOST_NAMES = 100  # in one certificate, as the largest authority has it


@dataclass(frozen=True, slots=True)
class HostStatus:
    """One host's HTTPS. ``state`` is off, ok, self-signed, expired, or none: no certificate yet. Epoch seconds.

    ``held``: nothing helps before ``retry_at``.
    """

    host: str
    state: str
    certificate: StoredCertificate | None = None
    renew_at: float | None = None
    problem: str = ""
    retry_at: float | None = None
    held: bool = False


class ServerHttps:
    """Safe from any thread.

    What commands call takes an app that exists, or the status page, and raises GitshipError with a hint; then all is as
    it was.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        showing: CertificateInstaller,
        issuer: Issuer,
        wildcards: Callable[[], bool],
    ) -> None:
        """``wildcards`` tells whether certificates for them can be got."""
        self._settings = settings
        self._store = store
        self._showing = showing
        self._issuer = issuer
        self._wildcards = wildcards

    # -- by command

    def enable(self, site: Site, hsts_s: int | None, say: Say, by: Identity) -> None:
        """``hsts_s`` None: as it is. ``say`` gets what else is to be known, a sentence each."""
        with self._acting(site, by):
            before = wish_of(self._store, self._settings, site)
            store_wish(self._store, site, WantedCertificate(True, before.hsts_s if hsts_s is None else hsts_s))
        try:
            self._bring(site)
            self._say_beyond(site, say)
            try:
                self._issuer.issue(site, self.wanted(site), say, lambda: self.lacking(site))
            except BudgetSpent as spent:  # it is wanted all the same, and comes by itself
                say(f"{spent.message}; the certificate comes in {span(spent.at - time.time())}")
            self._bring(site)
        except BaseException:
            store_wish(self._store, site, before)
            self._bring_back()
            raise
        if not self._wildcards() and any(h.startswith(WILDCARD) for h in hosts_of(self._store, self._settings, site)):
            say("wildcard domains need your own certificate (certs:add), or the server's dns-01 hook")

    def disable(self, site: Site, by: Identity) -> None:
        """Certificates are kept."""
        with self._acting(site, by):
            store_wish(self._store, site, WantedCertificate(False))
        self._bring(site)

    def renew(self, site: Site, say: Say, by: Identity, *, force: bool = False) -> None:
        self._confirm(site, by)
        if not wish_of(self._store, self._settings, site).on:
            raise Conflict(f"{called(site)} has no HTTPS", f"https:enable {word(site)}")
        names = self.wanted(site)
        if not names:
            raise Conflict(
                f"{called(site)} has no domain that needs a certificate from an authority",
                "see `https:status`, and add one with `domains:add`",
            )
        if not force and not self.needs_asking(site):
            raise Conflict(
                f"the certificate of {called(site)} is not due for renewal",
                f"to renew it anyway: `https:renew {word(site)} --force`",
            )
        self._say_beyond(site, say)
        self._issuer.issue(site, names, say, lambda: force or self.needs_asking(site), force=force)
        self._bring(site)

    def status(self, site: Site) -> list[HostStatus]:
        hosts = hosts_of(self._store, self._settings, site)
        if not wish_of(self._store, self._settings, site).on:
            return [HostStatus(host, "off") for host in hosts]
        shown, now = self._showing.shown(site), time.time()
        attempt = None if self._issuer.asking == site.id else self._store.certificate_attempt(site.id)
        beyond = self._beyond(site)
        rows = []
        for host in hosts:
            found = shown.get(host)
            row = HostStatus(host, _state(found, now), found)
            if found is None and host.startswith(WILDCARD) and not self._wildcards():
                row = replace(row, problem="needs your own certificate, or the server's dns-01 hook")
            elif found is None and host in beyond:
                row = replace(
                    row, problem=f"needs your own certificate: gitship obtains at most {MOST_NAMES} names per app"
                )
            elif public(host) and (found is None or found.source is CertificateSource.ACME):
                renew = renewal_at(found, self._settings.https.renew_before) if found else None
                row = replace(row, renew_at=renew)
                if attempt is not None and (found is None or now >= (renew or now)):
                    row = replace(row, problem=attempt.reason, retry_at=attempt.next_at, held=bool(attempt.held))
            rows.append(row)
        return rows

    def add_certificate(self, site: Site, certificate: Certificate, by: Identity) -> list[str]:
        """Hosts of the app that it is not valid for."""
        hosts = hosts_of(self._store, self._settings, site)
        if not any(covers(certificate.domains, host) for host in hosts):
            raise Conflict(
                f"the certificate is for {_shown(certificate.domains)}, which are not domains of {called(site)}",
                "use one for its host" if is_status_page(site) else f"domains:add {site.name} {certificate.domains[0]}",
            )
        before, wish = self._stored(site, CertificateSource.OWN), wish_of(self._store, self._settings, site)
        with self._acting(site, by):
            self._put_own(site, certificate)
            if not wish.on:
                store_wish(self._store, site, WantedCertificate(True))
        try:
            self._bring(site)
        except BaseException:
            self._store.remove_certificate(site.id, CertificateSource.OWN)
            if before is not None:
                self._put_own(site, before)
            store_wish(self._store, site, wish)
            self._bring_back()
            raise
        return [host for host in hosts if not covers(certificate.domains, host)]

    def remove_certificate(self, site: Site, by: Identity) -> None:
        """Raises NotFound when there is none of its owner's."""
        with self._acting(site, by):
            if not self._store.remove_certificate(site.id, CertificateSource.OWN):
                raise NotFound(f"{called(site)} has no certificate from certs:add", "see `certs:list`")
        self._bring(site)

    # -- by itself

    def wanted(self, site: Site) -> list[str]:
        """Names for which the authority is to be asked: as many as one certificate takes."""
        return self._lacking_own(site)[:MOST_NAMES]

    def _beyond(self, site: Site) -> list[str]:
        """Names that nobody asks for: they do not fit into the certificate."""
        return self._lacking_own(site)[MOST_NAMES:]

    def _say_beyond(self, site: Site, say: Say) -> None:
        if beyond := self._beyond(site):
            shown = _shown(tuple(beyond))
            say(f"a certificate has at most {MOST_NAMES} names: {shown} left out; certs:add takes one of your own")

    def _lacking_own(self, site: Site) -> list[str]:
        """Public names without a certificate of their owner's, first those that the authority's has already."""
        own = self._stored(site, CertificateSource.OWN)
        valid = own if own is not None and own.not_after > time.time() else None
        hosts = [host for host in hosts_of(self._store, self._settings, site) if public(host)]
        names = [h for h in missing(valid, hosts) if not h.startswith(WILDCARD) or self._wildcards()]
        new = set(missing(self._acme(site), names))
        return sorted(names, key=lambda name: name in new)

    def lacking(self, site: Site) -> bool:
        """True when there are names for which there is no certificate."""
        return bool(missing(self._acme(site), self.wanted(site)))

    def needs_asking(self, site: Site) -> bool:
        """True when HTTPS is wanted and names are without a certificate, or it is time to renew it."""
        if not self.wanted(site) or not wish_of(self._store, self._settings, site).on:
            return False
        current = self._acme(site)
        return self.lacking(site) or (current is not None and self.due(current))

    def ask(self, site: Site, say: Say) -> bool:
        """As ``renew``, when nobody has asked for it: every wait is kept. False: it was not needed any more."""
        asked = self._issuer.issue(site, self.wanted(site), say, lambda: self.needs_asking(site), by_itself=True)
        self._bring(site)
        return asked

    def turns(self, waiting: Sequence[Site]) -> list[Site]:
        """In the order in which they are to be asked for: renewals of what serves, then who has asked least of late."""
        return self._issuer.turns(waiting)

    def due(self, certificate: StoredCertificate) -> bool:
        return time.time() >= renewal_at(certificate, self._settings.https.renew_before)

    # -- within

    def _confirm(self, site: Site, by: Identity) -> None:
        if isinstance(site, App):
            self._store.confirm(site, by)
        else:
            self._store.confirm_key(by)

    @contextmanager
    def _acting(self, site: Site, by: Identity) -> Iterator[None]:
        with self._store.transaction():
            self._confirm(site, by)
            yield

    def _bring(self, site: Site) -> None:
        """Raises FrontError, also when this app's certificate is refused."""
        if (error := self._showing.bring().get(site.name)) is not None:
            raise error

    def _bring_back(self) -> None:
        try:
            self._showing.bring()
        except GitshipError:  # it is tried again within seconds, and the first error is the one to tell
            return

    def _put_own(self, site: Site, own: Certificate | StoredCertificate) -> None:
        self._store.put_certificate(
            site.id, CertificateSource.OWN, domains=own.domains, issuer=own.issuer, not_before=own.not_before,
            not_after=own.not_after, pem=own.pem,
        )  # fmt: skip

    def _acme(self, site: Site) -> StoredCertificate | None:
        return self._stored(site, CertificateSource.ACME)

    def _stored(self, site: Site, source: CertificateSource) -> StoredCertificate | None:
        return next((c for c in self._store.certificates(site.id) if c.source is source), None)


def _state(certificate: StoredCertificate | None, now: float) -> str:
    if certificate is None:
        return "none"
    if certificate.not_after <= now:
        return "expired"
    return "ok" if certificate.source.trusted else "self-signed"


def _shown(domains: tuple[str, ...]) -> str:
    return ", ".join(domains[:3]) + (", ..." if len(domains) > 3 else "")
