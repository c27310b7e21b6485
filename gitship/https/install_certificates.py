"""Installs the store's certificates in haproxy, and the redirects from http to https."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Protocol

from gitship.config import Settings
from gitship.errors import FrontError, NotFound
from gitship.front.gate import Gate, HttpsRedirect
from gitship.front.tls import certificate, self_signed
from gitship.front.tls.served_certificates import ServedCertificate, entries
from gitship.https.choose_certificate import chosen, secured
from gitship.https.sites import hosts_of, public, sites
from gitship.https.wanted_certificates import WantedCertificate, wish_of
from gitship.model import GITSHIP, App, CertificateSource, Site, StoredCertificate
from gitship.per_app_errors import PerAppErrors
from gitship.routing.access_control import AccessControl
from gitship.routing.gate_settings import gate_of, status_https
from gitship.store import Store

SELF_SIGNED_DAYS = 365
SELF_SIGNED_RENEW_S = 30 * 86400.0

log = logging.getLogger("gitship.https")


class TlsEndpoint(Protocol):
    """Whoever ends TLS; see ``Terminator``."""

    def bring(self, entries: Iterable[ServedCertificate]) -> dict[str, FrontError]: ...

    def stop(self) -> None: ...

    def alive(self) -> bool: ...


class CertificateInstaller:
    """Safe from any thread, and idempotent: it can be interrupted anywhere and repeated."""

    def __init__(self, settings: Settings, store: Store, terminator: TlsEndpoint, gates: AccessControl) -> None:
        self._settings = settings
        self._store = store
        self._terminator = terminator
        self._gates = gates
        self._lock = threading.Lock()
        self._apart = PerAppErrors()
        self._in_force: dict[int, dict[str, StoredCertificate]] = {}  # site -> what haproxy was last brought to show

    def bring(self) -> dict[str, FrontError]:
        """haproxy and Varnish do what the store says; by site, why haproxy doesn't take its certificate.

        Nobody is sent to https before it works there, and nobody any more before it ends there.
        Raises FrontError when one of them doesn't answer.
        """
        with self._lock:
            now = time.time()
            wanted: list[ServedCertificate] = []
            in_force: dict[int, dict[str, StoredCertificate]] = {}
            gates: dict[Site, HttpsRedirect | None] = {}
            in_use = bool(self._settings.https.email)
            all_sites = sites(self._store, self._settings)
            for site in all_sites:
                in_force[site.id] = self._in_force.get(site.id, {})  # when it cannot be told anew
                with self._apart.part(site.name, "its certificates"):
                    wish = wish_of(self._store, self._settings, site)
                    in_use = in_use or wish.on
                    shown = in_force[site.id] = self._shown(site, now) if wish.on else {}
                    gates[site] = self._gate(wish, secured(shown, now))
                wanted += _entries(site, in_force[site.id])
            self._change_all(gates, only_less=True)
            if not in_use:
                self._terminator.stop()
                self._in_force = {}
                return {}
            try:
                refused = self._terminator.bring(wanted)
            except FrontError:
                if not self._terminator.alive():  # port taken, not installed: visitors are better off by http
                    self._in_force = {}
                    self._change_all(dict.fromkeys(gates), only_less=True)
                raise
            owners = {entry.name: entry.owner for entry in wanted}
            failed = {owners[name]: error for name, error in refused.items()}
            self._in_force = {
                site.id: self._in_force.get(site.id, {}) if site.name in failed else in_force[site.id]
                for site in all_sites
            }
            self._change_all({site: https for site, https in gates.items() if site.name not in failed})
            return failed

    def shown(self, site: Site) -> dict[str, StoredCertificate]:
        """Host -> what visitors are shown there: not what the store has and haproxy has not been given yet."""
        return self._in_force.get(site.id, {})

    # -- under the lock

    def _shown(self, site: Site, now: float) -> dict[str, StoredCertificate]:
        hosts = hosts_of(self._store, self._settings, site)
        self._sign(site, [host for host in hosts if not public(host)], now)
        return chosen(self._store.certificates(site.id), hosts, now)

    def _sign(self, site: Site, hosts: list[str], now: float) -> None:
        """Names that no authority knows get a certificate of gitship's own, so that HTTPS can be tried there."""
        found = {c.source: c for c in self._store.certificates(site.id)}
        current, own = found.get(CertificateSource.SELF_SIGNED), found.get(CertificateSource.OWN)
        needed = [host for host in hosts if own is None or not certificate.covers(own.domains, host)]
        fresh = current is not None and current.not_after > now + SELF_SIGNED_RENEW_S
        if not needed or (fresh and current is not None and set(current.domains) == set(needed)):
            return
        made = certificate.read(self_signed.make(needed, SELF_SIGNED_DAYS))
        self._store.put_certificate(
            site.id, CertificateSource.SELF_SIGNED, domains=made.domains, issuer="gitship", not_before=made.not_before,
            not_after=made.not_after, pem=made.pem,
        )  # fmt: skip

    def _gate(self, wish: WantedCertificate, hosts: tuple[str, ...]) -> HttpsRedirect | None:
        return HttpsRedirect(hosts, self._settings.https.listen.port, wish.hsts_s) if hosts else None

    def _change_all(self, gates: Mapping[Site, HttpsRedirect | None], *, only_less: bool = False) -> None:
        """Each, whatever becomes of the others. Raises the first FrontError at the end."""
        failed: list[FrontError] = []
        for site, https in gates.items():
            try:
                self._change(site, https, only_less=only_less)
            except FrontError as error:
                failed.append(error)
        if failed:
            raise failed[0]

    def _change(self, site: Site, https: HttpsRedirect | None, *, only_less: bool = False) -> None:
        """``only_less``: what is not sent to https any more; the rest waits until haproxy is ready for it."""

        def after(before: HttpsRedirect | None) -> HttpsRedirect | None:
            return _less(before, https) if only_less else https

        def change(gate: Gate) -> Gate:
            return replace(gate, https=after(gate.https))

        if not isinstance(site, App):
            self._gates.change_status_page(after(status_https(self._store)))
            return
        try:
            before = gate_of(self._store, site.id)
            if change(before) != before:
                self._gates.change(site, change, GITSHIP)
        except NotFound:  # destroyed meanwhile
            return


def _less(before: HttpsRedirect | None, wanted: HttpsRedirect | None) -> HttpsRedirect | None:
    """What is left of ``before`` without the hosts that are not wanted any more."""
    if before is None or wanted is None:
        return None
    kept = tuple(host for host in before.hosts if host in wanted.hosts)
    return replace(before, hosts=kept) if kept else None


def _entries(site: Site, shown: dict[str, StoredCertificate]) -> list[ServedCertificate]:
    by_certificate: dict[int, list[str]] = {}
    for host, found in shown.items():
        by_certificate.setdefault(found.id, []).append(host)
    pems = {found.id: found.pem for found in shown.values()}
    return [entry for id_, hosts in by_certificate.items() for entry in entries(site.name, pems[id_], hosts)]
