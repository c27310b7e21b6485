"""Certificates of apps."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class CertificateSource(StrEnum):
    """Where a certificate comes from; for a host that several cover, the first one counts."""

    OWN = "own"
    ACME = "acme"
    SELF_SIGNED = "self-signed"

    @property
    def trusted(self) -> bool:
        """True when visitors' browsers are expected to trust it."""
        return self is not CertificateSource.SELF_SIGNED


@dataclass(frozen=True, slots=True)
class StoredCertificate:
    """An app's certificate with chain and key. Times are epoch seconds.

    ``suggested_at``: when the authority itself would like it to be renewed. ``warned``: its end was announced.
    """

    id: int
    app_id: int
    source: CertificateSource
    domains: tuple[str, ...]
    issuer: str
    not_before: float
    not_after: float
    pem: str = field(repr=False)
    suggested_at: float | None = None
    warned: bool = False


@dataclass(frozen=True, slots=True)
class CertificateAttempt:
    """Attempts to get an app's certificate since the last that succeeded; none is made by itself before ``next_at``,
    unless other ``names`` are wanted by then.
    """

    failures: int
    next_at: float
    names: tuple[str, ...] = ()
    reason: str = ""
    hint: str = ""
