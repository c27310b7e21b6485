"""Chooses a host's certificate, and decides when to renew it. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from gitship.front.tls.certificate import covers
from gitship.model import CertificateSource, StoredCertificate

RENEW_AT = 1 / 3  # of its life left
JITTER = 1 / 10  # of that, so that not everybody comes on the same day
LATEST = 1 / 4  # of that: however late the authority suggests to come, or a name cannot be proved


def chosen(certificates: Iterable[StoredCertificate], hosts: Iterable[str], now: float) -> dict[str, StoredCertificate]:
    """Host -> its certificate: valid before expired ones, then the app's own before others."""
    order = list(CertificateSource)
    ranked = sorted(certificates, key=lambda c: (c.not_after <= now, order.index(c.source)))
    found = {host: next((c for c in ranked if covers(c.domains, host)), None) for host in hosts}
    return {host: certificate for host, certificate in found.items() if certificate is not None}


def secured(shown: Mapping[str, StoredCertificate], now: float) -> tuple[str, ...]:
    """Hosts that visitors by http may be sent on to https: browsers will trust what they are shown."""
    return tuple(sorted(h for h, c in shown.items() if c.source.trusted and c.not_after > now))


def renewal_at(certificate: StoredCertificate, renew_before_s: float) -> float:
    """When to ask for the next one, in epoch seconds; the same after a restart."""
    lead = _lead_s(certificate, renew_before_s)
    if certificate.suggested_at is not None:
        return min(certificate.suggested_at, last_call(certificate, renew_before_s))
    fraction = hashlib.sha256(certificate.pem.encode()).digest()[0] / 255
    return certificate.not_after - lead * (1 + JITTER * fraction)


def last_call(certificate: StoredCertificate, renew_before_s: float) -> float:
    """Until then a renewal can wait for what keeps it from being whole, in epoch seconds."""
    return certificate.not_after - _lead_s(certificate, renew_before_s) * LATEST


def _lead_s(certificate: StoredCertificate, renew_before_s: float) -> float:
    return renew_before_s or (certificate.not_after - certificate.not_before) * RENEW_AT


def missing(certificate: StoredCertificate | None, names: Sequence[str]) -> list[str]:
    """Those of ``names`` that it is not valid for."""
    return [name for name in names if certificate is None or not covers(certificate.domains, name)]
