"""Requests a site's certificate, with retries and back-off that survive restarts."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from gitship.config import Settings
from gitship.errors import CertificateError, Conflict, FrontError, GitshipError
from gitship.front.tls import certificate
from gitship.https import domain_check
from gitship.https.acme import Answer, Authority
from gitship.https.choose_certificate import last_call, missing, renewal_at
from gitship.https.rate_limits import BudgetSpent, CertificateOrder
from gitship.https.rate_limits_used import RateLimitsUsed
from gitship.https.sites import called, word
from gitship.model import AUTHORITY, BUDGET, CertificateAttempt, CertificateSource, Site, StoredCertificate
from gitship.store import Store

FIRST_WAIT_S = 900.0
LONGEST_WAIT_S = 86_400.0
# The largest authority takes 5 failed proofs per name and hour: a person who mends DNS gets that many, too.
FREE_ATTEMPTS = 4

Say = Callable[[str], None]


class Issuer:
    """Safe from any thread; one order at a time.

    A site waits for its turn once, however many ask for it: so nobody's turn is put off by the others of one site.
    """

    def __init__(self, settings: Settings, store: Store, authority: Authority, answer: Answer) -> None:
        self._settings = settings
        self._store = store
        self._authority = authority
        self._answer = answer
        self._spending = RateLimitsUsed(store)
        self._lock = threading.Lock()
        self._doors: dict[int, threading.Lock] = {}  # by site
        self.asking: int | None = None  # the site for which the authority is asked at this moment

    def issue(
        self,
        site: Site,
        names: Sequence[str],
        say: Say,
        needed: Callable[[], bool],
        *,
        by_itself: bool = False,
        force: bool = False,
    ) -> bool:
        """Stores a certificate for ``names``, or for as many of them as lead here and can be proved.

        Nothing happens, and False is given back, unless ``needed`` is true once it is this one's turn. ``by_itself``:
        nobody has asked, so every wait is kept; ``force``: only the authority's own wish to be left alone counts.
        Raises CertificateError, or Conflict when it is too early, BudgetSpent when the site has asked for as much as it
        may; then what there was is as before.
        """
        with self._doors.setdefault(site.id, threading.Lock()), self._lock:
            if not needed():
                return False
            self._check_patience(site, names, by_itself=by_itself, force=force)
            asked = self._askable(site, self._within_budget(site, names, force=force), say, by_itself=by_itself)
            self.asking = site.id
            try:
                self._order(site, names, asked, say, force=force)
            finally:
                self.asking = None
            return True

    def turns(self, sites: Sequence[Site]) -> list[Site]:
        """Renewals of what serves come first, then who has asked least of late."""
        by_id = {site.id: site for site in sites}
        fair = [by_id[site_id] for site_id in self._spending.turns(list(by_id))]
        return sorted(fair, key=lambda site: not self._due(site))

    def _order(self, site: Site, names: Sequence[str], asked: Sequence[str], say: Say, *, force: bool) -> None:
        attempt = self._begin(site, names)
        try:
            self._obtain(site, asked, force=force)
        except CertificateError as error:
            self._failed(site, attempt, error)
            rest = [name for name in asked if name not in error.hosts]
            if not rest or not error.hosts or not self._worth(site, asked, rest):
                raise
            with suppress(BudgetSpent):
                self._spending.ensure_room(self._asking(site, rest, force=force), called(site))
                self._without(site, rest, attempt, error, say, force=force)
                return
            raise

    def _without(
        self, site: Site, rest: Sequence[str], attempt: CertificateAttempt, first: CertificateError, say: Say, *,
        force: bool,
    ) -> None:  # fmt: skip
        """One name that can't be proved keeps the others waiting for one order more, never longer."""
        try:
            self._obtain(site, rest, force=force)
        except CertificateError as error:
            self._failed(site, attempt, error)
            raise
        self._failed(site, attempt, first)  # the names that are left out have to wait
        say(f"{first.message}: left out")

    def _worth(self, site: Site, asked: Sequence[str], rest: list[str]) -> bool:
        """True when a certificate for the rest only is better than the one there is.

        A renewal waits as long as it can for a name that the old one still serves.
        """
        current = self._current(site)
        if current is None or missing(current, rest):
            return True
        before = self._settings.https.renew_before
        costs = any(not missing(current, [name]) for name in asked if name not in rest)
        return time.time() >= (last_call if costs else renewal_at)(current, before)

    def _check_patience(self, site: Site, names: Sequence[str], *, by_itself: bool, force: bool) -> None:
        now, attempt = time.time(), self._store.certificate_attempt(site.id)
        if (hold := self._store.authority_hold()) > now:
            reason = f": {attempt.reason}" if attempt and attempt.reason else ""
            raise Conflict(f"the authority accepts no requests for {span(hold - now)}{reason}", "gitship retries then")
        if attempt is None or now >= attempt.next_at or attempt.held == BUDGET:  # which is looked at next
            return
        same = set(names) == set(attempt.names)
        if same and attempt.held == AUTHORITY:
            wait = f"the authority accepts no requests for {called(site)} for {span(attempt.next_at - now)}"
            raise Conflict(f"{wait}: {attempt.reason}", "gitship retries then")
        if force:
            return
        if (by_itself and same) or attempt.failures > FREE_ATTEMPTS:
            wait = f"{attempt.failures} attempts have failed, the next is in {span(attempt.next_at - now)}"
            raise Conflict(f"{wait}: {attempt.reason}", f"to retry now: `https:renew {word(site)} --force`")

    def _within_budget(self, site: Site, names: Sequence[str], *, force: bool) -> list[str]:
        """``names``, or those that have to be renewed while there is no room for new ones. Raises BudgetSpent."""
        try:
            self._spending.ensure_room(self._asking(site, names, force=force), called(site))
        except BudgetSpent as spent:
            serving = [n for n in names if not missing(self._current(site), [n])] if self._due(site) else []
            try:
                if not serving or len(serving) == len(names):
                    raise
                self._spending.ensure_room(self._asking(site, serving, force=force), called(site))
            except BudgetSpent:
                self._wait(site, names, spent.message, spent.hint, spent.at)
                raise
            return serving
        return list(names)

    def _asking(self, site: Site, names: Sequence[str], *, force: bool) -> CertificateOrder:
        renewal = not force and self._due(site) and not missing(self._current(site), names)
        return CertificateOrder(site.id, tuple(sorted(names)), renewal, self._store.app_maker(site.id))

    def _due(self, site: Site) -> bool:
        """A certificate serves, and it is time for the next one."""
        current = self._current(site)
        return current is not None and time.time() >= renewal_at(current, self._settings.https.renew_before)

    def _askable(self, site: Site, names: list[str], say: Say, *, by_itself: bool) -> list[str]:
        """Without names that don't lead here. Those in the certificate stay: a lapse of DNS must not cost them."""
        if not self._settings.https.check_dns:
            return names
        current = self._current(site)
        new = [name for name in missing(current, names) if not name.startswith("*")]
        if new:
            self._ensure_looks(site, names)
        problems = domain_check.problems(new, self._answer)
        if problems:
            self._spending.looked(site.id)
        for host, problem in problems.items():
            say(f"{host} is left out: {problem}")
        left = [name for name in names if name not in problems]
        if problems and (not left or (by_itself and not missing(current, left))):
            reason = "; ".join(f"{host}: {problem}" for host, problem in problems.items())
            hint = "add a DNS record for this server; check_dns = false in [https] skips this check"
            self._wait(site, names, reason, hint)
            raise CertificateError(
                f"no domain of {called(site)} resolves to this server: {reason}" if not left else reason, hint
            )
        return left

    def _ensure_looks(self, site: Site, names: Sequence[str]) -> None:
        try:
            self._spending.ensure_looks(site.id, called(site))
        except BudgetSpent as spent:
            self._wait(site, names, spent.message, spent.hint, spent.at)
            raise

    def _obtain(self, site: Site, names: Sequence[str], *, force: bool) -> None:
        asking = self._asking(site, names, force=force)
        self._spending.order(asking)
        try:
            self._stored(site, names)
        except CertificateError:
            self._spending.no_certificate(asking)
            raise

    def _stored(self, site: Site, names: Sequence[str]) -> None:
        try:
            pem = self._authority.obtain(names)
        except FrontError as error:  # Varnish didn't take the answer to a challenge
            raise CertificateError(error.message, error.hint) from None
        try:
            got = certificate.read(pem)
        except GitshipError as error:
            raise CertificateError(f"the authority's certificate cannot be used: {error.message}", error.hint) from None
        self._store.put_certificate(
            site.id, CertificateSource.ACME, domains=got.domains, issuer=got.issuer, not_before=got.not_before,
            not_after=got.not_after, pem=got.pem,
        )  # fmt: skip

    def _current(self, site: Site) -> StoredCertificate | None:
        return next((c for c in self._store.certificates(site.id) if c.source is CertificateSource.ACME), None)

    # -- patience

    def _begin(self, site: Site, names: Sequence[str]) -> CertificateAttempt:
        """Written down before the authority is asked: a gitship that is killed in it does not ask at each start."""
        before = self._store.certificate_attempt(site.id)
        failures = (before.failures if before else 0) + 1
        wait = min(FIRST_WAIT_S * 2.0 ** (failures - 1), LONGEST_WAIT_S) * random.uniform(1, 1.2)  # noqa: S311
        attempt = CertificateAttempt(
            failures, time.time() + wait, tuple(names), "gitship was stopped during the request"
        )
        self._store.put_certificate_attempt(site.id, attempt)
        return attempt

    def _failed(self, site: Site, attempt: CertificateAttempt, error: CertificateError) -> None:
        next_at, held, now = attempt.next_at, "", time.time()
        if error.hold_all_s:
            self._store.hold_authority(now + error.hold_all_s)
        if error.hold_s:
            next_at, held = max(next_at, now + error.hold_s), AUTHORITY
        told = replace(attempt, next_at=next_at, reason=error.message, hint=error.hint, held=held)
        self._store.put_certificate_attempt(site.id, told)

    def _wait(self, site: Site, names: Sequence[str], reason: str, hint: str, until: float = 0.0) -> None:
        """The authority was not asked: that is no failure, but is not looked at every few seconds either.

        ``until``: there is no room for it before that.
        """
        before = self._store.certificate_attempt(site.id)
        failures = before.failures if before else 0
        next_at = until or max(before.next_at if before else 0.0, time.time() + FIRST_WAIT_S)
        held = BUDGET if until else ""
        told = CertificateAttempt(failures, next_at, tuple(names), reason, hint, held)
        self._store.put_certificate_attempt(site.id, told)


def span(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
